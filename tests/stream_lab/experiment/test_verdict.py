"""Verdicts from a recording and the server's samples; missing evidence is never a success."""

import pytest

from stream_lab import Call, Recording, verdict
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.trace import Ending
from stream_lab.experiment.witness import Sample


def recording(
    ending: Ending, ended: float, *arrivals: float, error: str = "", stood_still: float = 0.0
) -> Recording:
    return Recording(
        arrivals=list(arrivals), ending=ending, ended=ended, error=error, stood_still=stood_still
    )


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (recording(Ending.CUT, 2.01), verdict.STOPPED),
        (recording(Ending.CUT, 2.49), verdict.STOPPED),
        (recording(Ending.CUT, 2.6), verdict.LATE),
        (recording(Ending.CUT, 1.2), verdict.EARLY),
        (recording(Ending.GAVE_UP, 4, 1.0, 3.0), verdict.RAN_ON),
        (recording(Ending.GAVE_UP, 4, 1.0), verdict.SILENT),
        (recording(Ending.FINISHED, 1.0, 0.5), verdict.BY_ITSELF),
        (recording(Ending.FINISHED, 3.0, 2.5), verdict.BY_ITSELF),
        (recording(Ending.FAILED, 3.0, error="ReadTimeout"), verdict.READ_TIMEOUT),
        (
            recording(Ending.FAILED, 3.0, error="APITimeoutError: Request timed out."),
            verdict.READ_TIMEOUT,
        ),
        (
            recording(Ending.FAILED, 1.0, error="APIConnectionError: gone"),
            "failed with APIConnectionError",
        ),
        (recording(Ending.CUT, 2.01, stood_still=1.0), verdict.STARVED),
    ],
)
def test_each_ending_has_its_word(made: Recording, word: str) -> None:
    assert verdict.of_stream(made, 2.0) == word


@pytest.mark.parametrize(
    "word",
    [
        verdict.BY_ITSELF,
        verdict.STARVED,
        verdict.NO_METRICS,
        verdict.SHARED,
        verdict.GOES_ON,
        verdict.NOT_BUSY,
    ],
)
def test_missing_evidence_is_marked_as_unknown(word: str) -> None:
    assert isinstance(word, Unknown)


def samples(*running: int) -> list[Sample]:
    """One sample every half second, tokens rising while a request runs."""
    made, out = 0, []
    for index, count in enumerate(running):
        made += 10 * count
        out.append(Sample(index * 0.5, count, 0, made))
    return out


@pytest.mark.parametrize(
    ("made", "seen", "word"),
    [
        (recording(Ending.CUT, 2.0), samples(0, 1, 1, 1, 1, 0, 0), verdict.Server.STOPPED),
        (recording(Ending.CUT, 2.0), samples(0, 1, 1, 1, 1, 1, 1), verdict.Server.RAN_ON),
        (recording(Ending.GAVE_UP, 4.0), samples(0, 1, 1, 1, 1, 1, 1, 1, 0), verdict.Server.RAN_ON),
        (
            recording(Ending.GAVE_UP, 4.0),
            samples(0, 1, 1, 1, 1, 0, 0, 0, 0),
            verdict.Server.STOPPED,
        ),
        (
            recording(Ending.GAVE_UP, 4.0),
            samples(0, 1, 1, 1, 1, 1, 0, 0, 0),
            verdict.Server.STOPPED,
        ),
        (recording(Ending.CUT, 2.0), samples(1, 2, 2, 2, 2, 1, 1), verdict.SHARED),
        (recording(Ending.CUT, 2.0), samples(0, 0, 0, 0, 0, 0), verdict.NOT_BUSY),
        (recording(Ending.CUT, 2.0), samples(0, 0, 0, 0, 0, 1, 1), verdict.TOO_LATE_TO_SEE),
        (recording(Ending.FINISHED, 1.0), samples(0, 1, 1, 0), verdict.BY_ITSELF),
        (recording(Ending.CUT, 2.0), [], verdict.NO_METRICS),
    ],
)
def test_the_servers_verdict_is_read_from_its_own_metrics(
    made: Recording, seen: list[Sample], word: str
) -> None:
    assert Call(made, 2.0, seen).server == word


def test_tokens_after_the_deadline_are_counted_from_the_first_sample_past_it() -> None:
    assert (
        Call(
            recording(Ending.GAVE_UP, 4.0), 2.0, samples(0, 1, 1, 1, 1, 1, 1, 1)
        ).tokens_after_deadline
        == 30
    )
