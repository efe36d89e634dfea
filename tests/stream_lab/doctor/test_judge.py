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


ANSWER = 'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}\n\n' * 3
STOPPED = 'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
RESPONSE = 'data: {"type":"response.output_text.delta","delta":"x"}\n\n' * 3
FAILED = 'data: {"type":"response.failed","response":{"error":{"message":"no GPU"}}}\n\n'
WORDS = "data: Hi\n\n" * 3
GEMINI = 'data: {"candidates":[{"finishReason":"STOP"}]}\n\n'


@pytest.mark.parametrize(
    ("body", "until_close", "cause"),
    [
        (ANSWER + STOPPED + STOP, False, Cause.HEALTHY),
        (ANSWER + STOPPED, False, Cause.MISSING_DONE),
        (ANSWER, False, Cause.MISSING_DONE),
        (ANSWER, True, Cause.MISSING_DONE),
        (ANSWER + "data: {", True, Cause.SERVER_ENDED),
        (ANSWER + "data: {", False, Cause.BAD_FRAMING),
        (RESPONSE, False, Cause.MISSING_DONE),
        (RESPONSE + FAILED, False, Cause.SERVER_ENDED),
        ('data: {"type":"RUN_STARTED"}\n\n' + WORDS, False, Cause.MISSING_DONE),
        (WORDS, False, Cause.HEALTHY),
        (WORDS, True, Cause.MISSING_DONE),
        (WORDS + "data: H", True, Cause.SERVER_ENDED),
        (WORDS + "data: [DONE]\n\n", True, Cause.HEALTHY),
        (WORDS + GEMINI, True, Cause.HEALTHY),
        (WORDS + "event: done\ndata: {}\n\n", True, Cause.HEALTHY),
        ("no events at all\n" * 3, True, Cause.HEALTHY),
    ],
)
def test_a_body_that_ended_in_order_is_whole_if_its_dialect_or_its_length_says_so(
    body: str, until_close: bool, cause: Cause
) -> None:
    heard = Transcript(
        200,
        [(0.1, body.encode())],
        0.1,
        End.WHOLE,
        headers={"content-type": "text/event-stream" if "data:" in body else "text/plain"},
        target=TARGET,
        until_close=until_close,
    )
    diagnosis = judge.once(Facts(heard))
    assert diagnosis is not None
    assert diagnosis.cause is cause, diagnosis.evidence


LINES = b'{"response":"Hi","done":false}\n' * 4


@pytest.mark.parametrize(
    ("body", "ending", "cause"),
    [
        (LINES + b'{"response":"","done":true,"done_reason":"stop"}\n', End.WHOLE, Cause.HEALTHY),
        (LINES + b'{"response":"","done":true}', End.WHOLE, Cause.HEALTHY),
        (LINES, End.WHOLE, Cause.MISSING_DONE),
        (LINES + b'{"error":"an error was encountered"}\n', End.WHOLE, Cause.SERVER_ENDED),
        (LINES + b'{"response":"H', End.WHOLE, Cause.BAD_FRAMING),
        (LINES + b'{"response":"H', End.RESET, None),
        (b'{"token":"Hi"}\n' * 4, End.WHOLE, Cause.HEALTHY),
    ],
)
def test_lines_of_json_are_events_too(body: bytes, ending: End, cause: Cause | None) -> None:
    """A cause of None is a cut, which only repetitions can explain."""
    headers = {"content-type": "application/x-ndjson", "transfer-encoding": "chunked"}
    pieces = [(0.1, body[:40]), (0.2, body[40:])]
    diagnosis = judge.once(
        Facts(Transcript(200, pieces, 0.2, ending, headers=headers, target=TARGET))
    )
    assert (diagnosis and diagnosis.cause) == cause


@pytest.mark.parametrize(
    ("ending", "cause"), [(End.WATCHED, Cause.KEEPALIVE_ONLY), (End.WHOLE, Cause.KEEPALIVE_ONLY)]
)
@pytest.mark.parametrize(
    "ping", ['event: ping\ndata: {"type":"ping"}\n\n', "event: ping\ndata: 7\n\n"]
)
def test_pings_are_no_answer(ping: str, ending: End, cause: Cause) -> None:
    pieces = [(0.5 * number, ping.encode()) for number in range(10)]
    headers = {"content-type": "text/event-stream"}
    diagnosis = judge.once(
        Facts(Transcript(200, pieces, 5.0, ending, headers=headers, target=TARGET))
    )
    assert diagnosis is not None
    assert diagnosis.cause is cause


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        ('{"error":{"message":"no GPU"}}', True),
        ('{"error":"no GPU"}', True),
        ('[{"error":{"code":503,"message":"no GPU"}}]', True),
        ('{"object":"error","message":"no GPU"}', True),
        ('{"type":"error","error":{"type":"overloaded_error"}}', True),
        ('{"success":false,"message":"no GPU"}', True),
        ('{"choices":[{"message":{"content":"Hi"}}],"error":null}', False),
        ('{"answer":"Hi","error":"one source of three"}', False),
        ('{"message":"Hi"}', False),
    ],
)
def test_an_error_as_the_whole_answer_is_an_error_whatever_its_status_and_type(
    body: str, is_error: bool, kind: str
) -> None:
    headers = {"content-type": kind, "content-length": str(len(body))}
    heard = Transcript(200, [(0.1, body.encode())], 0.1, End.WHOLE, headers=headers, target=TARGET)
    diagnosis = judge.once(Facts(heard))
    assert diagnosis is not None
    assert (diagnosis.cause is Cause.HTTP_ERROR) == is_error
    assert not is_error or "200" in diagnosis.evidence[0]


@pytest.mark.parametrize(
    ("cuts", "cause", "refutation"),
    [
        ([run(5, 60.5), run(15, 61.5), run(9, 60.9)], Cause.IDLE_CUT, "silence"),
        ([run(299, 30.0), run(298, 30.0), run(292, 29.3)], Cause.TOTAL_CUT, "another time"),
    ],
)
def test_a_limit_is_refuted_by_what_it_bounds(
    cuts: list[Facts], cause: Cause, refutation: str
) -> None:
    found = judge.cut(cuts, 0.7)
    assert found.cause is cause
    assert refutation in found.refuted_by


def test_a_redirect_says_where_to() -> None:
    heard = Transcript(307, ending=End.WHOLE, headers={"location": "/elsewhere"}, target=TARGET)
    diagnosis = judge.once(Facts(heard))
    assert diagnosis is not None
    assert "/elsewhere" in diagnosis.evidence[0]


def test_confidence_is_never_certainty() -> None:
    for facts in (run(5, 0.55), run(50, 5.1, end=End.WHOLE), run(50, 5.1, end=End.WATCHED)):
        diagnosis = judge.once(facts) or judge.cut([facts, facts, facts], 0.7)
        assert 0.5 <= diagnosis.confidence < 1


def test_a_watch_that_is_shorter_than_known_limits_is_not_sure_that_nothing_ends_a_stream() -> None:
    found = [
        judge.once(run(seconds, seconds, gap=1.0, end=End.WATCHED)) or pytest.fail("no diagnosis")
        for seconds in (5, 70, 86_400)
    ]
    assert {each.cause for each in found} == {Cause.NEVER_ENDS}
    short, longer, day = found
    assert short.confidence < 0.7 < longer.confidence < day.confidence
    assert "known limits on the whole are longer than this watch" in short.evidence[-1]
    assert "longer than this watch" not in day.evidence[-1]


def test_the_page_of_the_doctor_has_every_cause_and_every_stack() -> None:
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert all(f"| `{cause}` | {MEANING[cause]} |" in page for cause in Cause)
    assert f"runs the doctor on {len(STACKS)} stacks" in page
    assert f"{len(HEALTHY)} of them are healthy" in page
