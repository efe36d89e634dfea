"""The checkers of notebook 13: right answers of several kinds, and natural mistakes."""

from pathlib import Path
from typing import Any

import pytest

from stream_lab.course import sample_repository
from stream_lab.course.exercises.notebook_13 import JUDGED
from stream_lab.lint import Finding, check
from tests.stream_lab.course.answers import is_right, is_wrong, solution

JUDGEMENT: dict[int, str] = solution("13", "judged")


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    return check([sample_repository.write(tmp_path_factory.mktemp("sample"))])


def test_the_check_of_code_finds_in_the_sample_what_the_exercise_expects(
    findings: list[Finding],
) -> None:
    assert [(each.path.name, each.rule) for each in findings] == list(JUDGED)


@pytest.mark.parametrize(
    "answer", [JUDGEMENT, {number: letter.upper() for number, letter in JUDGEMENT.items()}]
)
def test_the_judgement_of_the_sample_is_right(answer: Any, findings: list[Finding]) -> None:
    is_right("13.1", answer, findings)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (dict.fromkeys(JUDGEMENT, "a"), "notebook 02"),
        (JUDGEMENT | {2: "b"}, "notebook 09"),
        (JUDGEMENT | {3: "e"}, "this one harms"),
        (JUDGEMENT | {4: "a"}, "what this object's `invoke` does"),
        (JUDGEMENT | {5: "a"}, "Who starts this file"),
        (JUDGEMENT | {6: "b"}, "notebook 05"),
        ({1: "b"}, "Finding 2 has no letter"),
        (JUDGEMENT | {1: True}, "none of the letters"),
        (list("bcafed"), "dictionary"),
    ],
)
def test_a_wrong_judgement_is_sent_back_to_its_line(
    answer: Any, word: str, findings: list[Finding]
) -> None:
    is_wrong("13.1", word, answer, findings)


def test_findings_in_another_repository_are_not_judged(tmp_path: Path) -> None:
    is_wrong("13.1", "sample only", JUDGEMENT, check([tmp_path]))


def faulty(stream: Any) -> bool:
    return not stream["whole"] or stream["first"] / stream["ended"] > 0.5


def in_turn(report: Any) -> str | None:
    for layer, name in (("direct", "application"), ("proxied", "proxy")):
        if any(map(faulty, report[layer])):
            return name
    return None


def the_gain(report: Any) -> str | None:
    direct, proxied = (sum(map(faulty, report[layer])) for layer in ("direct", "proxied"))
    return "application" if direct else "proxy" if proxied > direct else None


@pytest.mark.parametrize("answer", [solution("13", "name_layer"), in_turn, the_gain])
def test_each_way_to_name_the_layer_is_right(answer: Any) -> None:
    is_right("13.2", answer)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda report: "proxy", "Both streams were cut"),
        (lambda report: "proxied" if any(map(faulty, report["proxied"])) else None, "Return"),
        (
            lambda report: "proxy" if any(map(faulty, report["proxied"])) else "application",
            "Both streams were cut",
        ),
        (
            lambda report: (
                "application"
                if not all(s["whole"] for s in report["direct"])
                else "proxy"
                if not all(s["whole"] for s in report["proxied"])
                else None
            ),
            "everything came at once",
        ),
        (lambda report: "proxy" if faulty(report["proxied"]) else None, "TypeError"),
        (
            lambda report: (
                "application"
                if faulty(report["direct"][0])
                else "proxy"
                if faulty(report["proxied"][0])
                else None
            ),
            "second of three",
        ),
        ("proxy", "function"),
    ],
)
def test_a_layer_that_is_wrong_for_some_report_is_shown_that_report(answer: Any, word: str) -> None:
    is_wrong("13.2", word, answer)


def spread(values: list[float]) -> float:
    return max(values) - min(values)


def silence_first(streams: Any) -> str | None:
    late = spread([s["ended"] for s in streams]) > 0.3
    if spread([s["silence"] for s in streams]) < 0.3 and streams[0]["silence"] > 1:
        return "silence"
    return "whole" if late and spread([s["ended"] + s["held"] for s in streams]) < 0.3 else None


def by_the_last(streams: Any) -> str | None:
    first, *_, last = streams
    if abs(first["ended"] - last["ended"] - last["held"]) < 0.1:
        return "whole"
    quiet = first["silence"] > 10 * first["gap"]
    return "silence" if quiet and abs(first["silence"] - last["silence"]) < 0.2 else None


@pytest.mark.parametrize("answer", [solution("13", "limit"), silence_first, by_the_last])
def test_each_way_to_tell_the_limits_apart_is_right(answer: Any) -> None:
    is_right("13.3", answer)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda streams: "silence", "full flow"),
        (
            lambda streams: "whole" if spread([s["ended"] for s in streams]) < 0.3 else "silence",
            "after the same silence",
        ),
        (
            lambda streams: "silence" if spread([s["silence"] for s in streams]) < 0.3 else "whole",
            "full flow",
        ),
        (
            lambda streams: (
                "whole"
                if spread([s["ended"] + s["held"] for s in streams]) < 0.3
                else "silence"
                if spread([s["silence"] for s in streams]) < 0.3
                else None
            ),
            "different times",
        ),
        (lambda streams: "idle_cut", "Return"),
        (lambda streams: streams["ended"], "TypeError"),
        ("silence", "function"),
    ],
)
def test_a_limit_that_is_wrong_for_some_cuts_is_shown_those_cuts(answer: Any, word: str) -> None:
    is_wrong("13.3", word, answer)
