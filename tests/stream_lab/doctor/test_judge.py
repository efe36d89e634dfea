"""The rules, on invented transcripts: the meaning of a repeated cut, and its diagnosis."""

from pathlib import Path

import pytest

from stream_lab.doctor import Cause, Target, judge
from stream_lab.doctor.diagnosis import MEANING
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.probe import Transcript
from stream_lab.http.capture import End
from tests.stream_lab.doctor.stacks import HEALTHY, STACKS

TARGET = Target.of("http://127.0.0.1:1/answer")


def run(
    tokens: int, ended: float, *, gap: float = 0.1, first: float = 0.1, end: End = End.CLOSED
) -> Facts:
    """A stream of so many tokens that ended at a certain time."""
    pieces = [(first + gap * number, b"x") for number in range(tokens)]
    return Facts(
        Transcript(
            200,
            pieces,
            ended,
            end,
            headers={"content-type": "text/plain"},
            head_at=0.05,
            target=TARGET,
        )
    )


@pytest.mark.parametrize(
    ("runs", "held", "cause"),
    [
        # the same silence, at different times: a limit on silence
        ([run(5, 60.5), run(15, 61.5), run(9, 60.9)], 0.0, Cause.IDLE_CUT),
        ([run(5, 60.5), run(5, 60.5), run(5, 60.5)], 0.7, Cause.IDLE_CUT),
        # in full flow, always after the same time: a limit in all
        ([run(299, 30.0), run(298, 30.0), run(292, 29.3)], 0.7, Cause.TOTAL_CUT),
        ([run(299, 30.0), run(297, 30.0), run(296, 30.0)], 0.7, Cause.TOTAL_CUT),
        ([run(40, 30.0), run(40, 30.0), run(40, 29.3)], 0.7, Cause.TOTAL_CUT),
        # always after the same token: the server's own end
        ([run(23, 2.37), run(23, 2.37), run(23, 2.37)], 0.7, Cause.SERVER_ENDED),
        ([run(5, 0.55), run(90, 9.2), run(33, 3.4)], 0.7, Cause.SERVER_ENDED),
        ([run(0, 0.05), run(0, 0.05), run(0, 0.05)], 0.7, Cause.SERVER_ENDED),
        # only sometimes
        (
            [run(5, 0.55), run(40, 4.1, end=End.WHOLE), run(40, 4.1, end=End.WHOLE)],
            0.7,
            Cause.SERVER_ENDED,
        ),
    ],
)
def test_the_cause_of_a_cut_is_what_all_cuts_have_in_common(
    runs: list[Facts], held: float, cause: Cause
) -> None:
    assert judge.cut(runs, held).cause is cause


def test_a_limit_that_is_a_known_default_is_named() -> None:
    sixty = judge.cut([run(5, 60.5), run(15, 61.5), run(9, 60.9)], 0.0)
    assert any("nginx, proxy_read_timeout" in sentence for sentence in sixty.evidence)
    odd = judge.cut([run(5, 37.5), run(15, 38.5), run(9, 37.9)], 0.0)
    assert not any("Known defaults" in sentence for sentence in odd.evidence)


def half(tokens: int, ended: float) -> Facts:
    """A stream of events that is cut inside the last one."""
    pieces = [(0.1 + 0.1 * number, b"data: x\n\n") for number in range(tokens)]
    heard = Transcript(
        200,
        [*pieces, (ended - 0.01, b"data: ha")],
        ended,
        End.CLOSED,
        headers={"content-type": "text/event-stream"},
        target=TARGET,
    )
    return Facts(heard)


@pytest.mark.parametrize("seconds", [30.0, 27.3])
def test_a_cut_inside_the_same_event_is_the_server_s_and_both_causes_are_named(
    seconds: float,
) -> None:
    found = judge.cut([half(40, seconds), half(40, seconds), half(40, seconds)], 0.7)
    assert found.cause is Cause.SERVER_ENDED
    text = " ".join(found.evidence)
    assert "inside an event" in text
    assert "a limit" in text
    assert "another pace" in text
    assert found.confidence < 0.7


@pytest.mark.parametrize(
    "runs",
    [
        [half(40, 30.0), half(38, 30.0), half(41, 30.0)],  # another pace, the same time
        [half(40, 30.0), half(40, 30.0), half(33, 29.3)],  # counted from the connection
    ],
)
def test_a_limit_may_cut_inside_an_event_too(runs: list[Facts]) -> None:
    assert judge.cut(runs, 0.7).cause is Cause.TOTAL_CUT


@pytest.mark.parametrize("status", [301, 400, 401, 404, 405, 422, 429, 500, 502, 503, 504])
def test_an_error_status_is_an_answer_and_not_a_stream(status: int) -> None:
    heard = Transcript(status, [(0.1, b"\x1b[31mno\x1b[0m")], 0.1, End.WHOLE, target=TARGET)
    diagnosis = judge.once(Facts(heard))
    assert diagnosis is not None
    assert diagnosis.cause is Cause.HTTP_ERROR
    assert str(status) in diagnosis.evidence[0]
    assert "\x1b" not in " ".join(diagnosis.evidence)


def test_a_redirect_says_where_to() -> None:
    heard = Transcript(307, ending=End.WHOLE, headers={"location": "/elsewhere"}, target=TARGET)
    diagnosis = judge.once(Facts(heard))
    assert diagnosis is not None
    assert "/elsewhere" in diagnosis.evidence[0]


def test_confidence_is_never_certainty() -> None:
    for facts in (run(5, 0.55), run(50, 5.1, end=End.WHOLE), run(50, 5.1, end=End.WATCHED)):
        diagnosis = judge.once(facts) or judge.cut([facts, facts, facts], 0.7)
        assert 0.5 <= diagnosis.confidence < 1


def test_the_page_of_the_doctor_has_every_cause_and_every_stack() -> None:
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert all(f"| `{cause}` | {MEANING[cause]} |" in page for cause in Cause)
    assert f"runs the doctor on {len(STACKS)} stacks" in page
    assert f"{len(HEALTHY)} of them are healthy" in page
