"""The checkers of notebook 08: right answers of several kinds, and natural mistakes."""

from collections.abc import Callable
from typing import Any

import pytest

from stream_lab.experiment.attempts_run import Trial
from stream_lab.experiment.saved_evidence import load_saved
from tests.stream_lab.course.answers import is_right, is_wrong, solution

KEPT = load_saved()


def last_busy(trial: Trial) -> float | None:
    samples = trial.call.samples
    if samples[-1].running:
        return None
    cut = trial.call.recording.ended
    return max(0.0, max(sample.at for sample in samples if sample.running) - cut)


def with_a_loop(trial: Trial) -> float | None:
    cut = trial.call.recording.ended
    for sample in trial.call.samples:
        if sample.at >= cut and not sample.running:
            return sample.at - cut
    return None


def rounded(trial: Trial) -> float | None:
    found = with_a_loop(trial)
    return None if found is None else round(found, 2)


@pytest.mark.parametrize(
    "answer", [solution("08", "stopped_after"), last_busy, with_a_loop, rounded]
)
def test_each_way_to_find_the_idle_sample_is_right(answer: Callable[[Trial], Any]) -> None:
    is_right("08.1", answer, KEPT)


def idle_after(trial: Trial) -> list[float]:
    cut = trial.call.recording.ended
    return [sample.at for sample in trial.call.samples if sample.at > cut and not sample.running]


def first_idle(trial: Trial) -> float:
    return next(sample.at for sample in trial.call.samples if not sample.running)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda trial: idle_after(trial)[0], "from the call"),
        (lambda trial: idle_after(trial)[0] - trial.call.deadline, "deadline"),
        (lambda trial: first_idle(trial) - trial.call.recording.ended, "before the request"),
        (lambda trial: idle_after(trial)[0] - trial.call.recording.ended, "IndexError"),
        (lambda trial: min(idle_after(trial)) - trial.call.recording.ended, "ValueError"),
        (lambda trial: (idle_after(trial) or [9])[0] - trial.call.recording.ended, "None"),
        (lambda trial: trial.call.samples.running, "AttributeError"),
        (lambda trial: 0.04, ""),
        (0.04, "function"),
    ],
)
def test_a_mistake_in_reading_the_samples_is_named(answer: Any, word: str) -> None:
    is_wrong("08.1", word, answer, KEPT)


@pytest.mark.parametrize(
    "answer",
    [
        solution("08", "alert"),
        "vllm:num_requests_running > relay_open_requests",
        "sum(vllm:num_requests_running) - sum(relay_open_requests) > 0",
        'sum by (job) (vllm:num_requests_running{model_name="m"}) > on () relay_open_requests',
        "min_over_time((vllm:num_requests_running - relay_open_requests)[30s:]) >= 1",
        "relay_open_requests < vllm:num_requests_running",
        "vllm:num_requests_running / relay_open_requests > 1",
        "(vllm:num_requests_running - relay_open_requests) / vllm:num_requests_running > 0",
        "vllm:num_requests_running > on (job) group_left (zone) relay_open_requests",
        "vllm:num_requests_running > 0 and vllm:num_requests_running > relay_open_requests",
    ],
)
def test_each_comparison_of_the_two_gauges_is_right(answer: str) -> None:
    is_right("08.2", answer)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("vllm:num_requests_running", "always fires"),
        ("vllm:num_requests_running > 0", "three clients wait"),
        ("vllm:num_requests_running > 0 and relay_open_requests == 0", "one client is left"),
        ("vllm:num_requests_running != relay_open_requests", "still in the queue"),
        ("vllm:num_requests_running < relay_open_requests", "still in the queue"),
        ('rate(vllm:request_success_total{finished_reason="abort"}[1m]) > 0', "have ended"),
        ("rate(vllm:generation_tokens_total[1m]) > 0", "gauges"),
        ("vllm:num_requests_runing > relay_open_requests", "There is no metric"),
        ("vllm:num_requests_running > > 1", "not an expression"),
        (["vllm:num_requests_running"], "string"),
    ],
)
def test_an_alert_that_is_wrong_in_some_situation_is_shown_that_situation(
    answer: Any, word: str
) -> None:
    is_wrong("08.2", word, answer)
