"""Event streams, logs and whole answers before the doctor."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis import target

from stream_lab.doctor import Cause, judge
from stream_lab.doctor import Target as Asked
from stream_lab.doctor import events as doctor_events
from stream_lab.doctor.dialects import Says
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.logs import consider, lines_of
from stream_lab.doctor.logs import lines as log_lines
from stream_lab.doctor.probe import Transcript
from stream_lab.http.capture import End
from tests.fuzz.mutations import WORDS, as_json, changed, cut, edited
from tests.fuzz.sse import Stream, streams
from tests.fuzz.target import Target
from tests.stream_lab.doctor.hostile import (
    CHUNKED,
    GOOD_CHAT,
    GOOD_METRICS,
    GOOD_MODELS,
    OK,
    STREAM,
    Behaviour,
    chunk,
    said,
    serving,
    whole,
)
from tests.stream_lab.in_process import invoke

TYPES = [
    "text/event-stream", "text/event-stream; charset=x", "application/json", "application/x-ndjson", "text/html", "",
    "text/plain", "application/octet-stream", "a/\x9b[/x]",
]  # fmt: skip
NAMES = "content-type server retry-after location x-served-by content-encoding via www-authenticate".split()


@dataclass(frozen=True)
class Heard:
    """An answer as the doctor hears it, and other places to cut it at."""

    stream: Stream
    chat: bool
    status: int
    kind: str
    ending: End
    times: tuple[float, ...]
    headers: dict[str, str]


@st.composite
def heard(draw: st.DrawFn) -> Heard:
    """An answer with any status, end, times and headers."""
    names = st.sampled_from(NAMES) | st.text(max_size=5)
    return Heard(
        draw(streams()),
        draw(st.booleans()),
        draw(st.sampled_from([200, 200, 200, 0, 101, 204, 302, 401, 404, 500, 502, 504, 999])),
        draw(st.sampled_from([*TYPES[:1], *TYPES])),
        draw(st.sampled_from([End.WHOLE, End.WHOLE, *End])),
        tuple(draw(st.lists(st.floats(0, 90), min_size=1, max_size=6))),
        draw(st.dictionaries(names, st.text(max_size=12) | WORDS, max_size=2)),
    )


def _transcript(value: Heard, places: tuple[int, ...]) -> Transcript:
    at, pieces = 0.0, []
    for number, data in enumerate(cut(value.stream.body, list(places))):
        at += value.times[number % len(value.times)] / 10
        pieces.append((at, data))
    url = "http://127.0.0.1:1/v1" if value.chat else "http://127.0.0.1:1/answer"
    return Transcript(
        value.status,
        pieces,
        at + value.times[0],
        value.ending,
        headers={"content-type": value.kind, **value.headers},
        head_at=0.0,
        target=Asked.of(url),
        until_close=len(value.times) % 2 == 0,
    )


def _is_judged(_: object, value: Heard) -> None:
    one, other = (
        Facts(_transcript(value, places)) for places in (value.stream.one, value.stream.other)
    )
    if one.is_events or one.transcript.content_type == "application/x-ndjson":
        assert _said(one) == _said(other)
    target(float(len(one.events)), label="events")
    found = judge.once(one)
    if found is None:
        found = judge.cut([one, other], 0.7)
        judge.cut([one, one, other], 0.0)
    _assert_printable(found.as_dict())
    if one.events and all(each.says is Says.FAULT for each in one.events):
        assert found.cause is not Cause.HEALTHY


def _said(facts: Facts) -> list[tuple[object, ...]]:
    return [(each.says, each.text, each.name, each.answer, each.model) for each in facts.events]


def _assert_printable(found: Any) -> None:
    for text in [found["next"], *found["evidence"]]:
        assert text.isprintable(), text
        assert len(text) < 2000


def _trust_a_split(patch: pytest.MonkeyPatch) -> None:
    exact = doctor_events._lines

    def lines(pieces: Any) -> Iterator[Any]:
        for at, data in pieces:
            yield from exact([(at, data)])

    patch.setattr(doctor_events, "_lines", lines)


def _trust_a_type(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(doctor_events, "_as_text", lambda value: value or "")


def _trust_its_json(patch: pytest.MonkeyPatch) -> None:
    def read(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise LookupError("planted") from None

    patch.setattr(doctor_events, "read_json", read)


# Logs

ACCESS = '1.2.3.4 - - [27/Nov/2026:20:44:41 +0000] "GET /v1/x HTTP/1.1" 504 0 "-" "curl" rt=60.001 uct="0.1" urt="60.0"'
LOGS: list[str] = [
    ACCESS,
    "2026/11/27 20:44:41 [error] 7#7: *1 upstream timed out (110: Connection timed out) while reading upstream, "
    'client: 1.2.3.4, server: x, request: "POST /v1/x HTTP/1.1", upstream: "http://127.0.0.1:8000/v1/x", host: "x"',
    "[2026-11-27 20:44:41 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:7)",
    "[2026-11-27 20:44:41 +0000] [7] [INFO] Worker exiting (pid: 7)",
    'Nov 27 20:44:41 lb haproxy[7]: 1.2.3.4:5 [27/Nov/2026:20:44:40.000] f b/s 0/0/1/2/60001 504 0 - - sH-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
    '[2026-11-27T20:44:41.000Z] "GET /x HTTP/1.1" 504 UT 0 24 60000 - "1.2.3.4" "curl" "id" "x" "127.0.0.1:8000"',
    'http 2026-11-27T20:44:41.000000Z app/lb/1 1.2.3.4:5 10.0.0.1:80 0.001 60.0 -1 504 - 10 20 "GET http://x:80/ HTTP/1.1" "c" - - arn "-" "-" "-" 0 2026-11-27T20:44:41.000000Z "forward" "-" "-"',
    'INFO:     1.2.3.4:5 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    "Traceback (most recent call last):",
    '  File "x.py", line 1, in <module>',
    "asyncio.exceptions.CancelledError",
    "httpx.ReadTimeout: timed out",
    "2026-11-27T20:44:41Z stderr F [error] upstream prematurely closed connection",
    "app-1  | openai.APITimeoutError: Request timed out.",
]
KEYED: list[Any] = [
    {"status": 504, "path": "/x", "method": "GET", "time": "2026-11-27T20:44:41Z", "duration": 60.0},
    {"level": "error", "ts": 1764276281.0, "msg": "aborting", "request": {"method": "GET", "uri": "/x"}, "status": 502},
    {"ClientHost": "1.2.3.4", "DownstreamStatus": 504, "Duration": 60000000000, "RequestPath": "/x", "time": "2026-11-27T20:44:41Z"},
    {"httpRequest": {"requestMethod": "GET", "requestUrl": "http://x/", "status": 504, "latency": "60s"}, "timestamp": "2026-11-27T20:44:41Z", "jsonPayload": {"statusDetails": "backend_timeout"}},
    {"log": ACCESS, "stream": "stdout", "time": "2026-11-27T20:44:41Z"},
]  # fmt: skip
PIECES = [
    b'"',
    b"[",
    b" - ",
    b"\t",
    b"\x1b[2J",
    b"\xff",
    b"9" * 400,
    b"-1",
    b"\x00",
    b"{",
    b"\r",
    b"\xe2\x80\xae",
]


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Some lines of any program's log, damaged, in any order."""
    lines = st.sampled_from(LOGS).map(str.encode)
    keyed = changed(KEYED).map(as_json).map(str.encode)
    damaged = lines.flatmap(lambda line: edited(line, PIECES))
    return b"\n".join(
        draw(st.lists(lines | damaged | keyed | st.binary(max_size=30), min_size=1, max_size=8))
    )


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def _is_read(place: Path, value: bytes) -> None:
    file = place / "access.log"
    file.write_bytes(value)
    try:
        found = lines_of([file], sizes={file: 0})
    except OSError as error:  # a file that says it is gzip, and is not
        assert value.startswith(b"\x1f\x8b"), error  # noqa: PT017
        return
    target(float(len(found)), label="lines")
    assert all(each.text.isprintable() for each in found)
    heard = Transcript(200, [(0.1, b"data: x\n\n")], 60.0, End.CLOSED, target=Asked.of("http://x/"))
    diagnosis = judge.cut([Facts(heard), Facts(heard)], 0.0)
    day = datetime(2026, 11, 27, 20, 44, 41)
    considered = consider(
        diagnosis, found, since=day, until=day, targets=[heard.target], flowed=None
    )
    _assert_printable(considered.as_dict())


def _show_a_line_as_it_is(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(log_lines, "quote", lambda text, most=0: text)


# The command


@dataclass(frozen=True)
class Service:
    """What a server says to each of the doctor's requests."""

    stream: Stream
    head: bytes
    framed: bool
    models: bytes
    metrics: bytes


HEADS = [STREAM, OK, OK + b"content-type: application/json\r\n", b"HTTP/1.1 500 Oh\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 N\r\n"]  # fmt: skip
LISTS: list[Any] = [{"object": "list", "data": [{"id": "m", "object": "model"}]}]
METRICS = b"# HELP x\nvllm:num_requests_running 0.0\nvllm:generation_tokens_total 5.0\n"


@st.composite
def services(draw: st.DrawFn) -> Service:
    """Answers of any form to the doctor, mostly good but for the stream."""
    usual = draw(st.integers(0, 3)) > 0  # without a model's name, no stream is asked for
    listed = LISTS[0] if usual else draw(changed(LISTS))
    head = draw(st.sampled_from(HEADS[:2] if usual else HEADS))
    return Service(
        draw(streams()),
        head if usual else draw(edited(head, PIECES, 1)),
        draw(st.booleans()),
        as_json(listed).encode("utf-8", "surrogatepass"),
        draw(edited(METRICS, [b"nan", b"1e999", b"{", *PIECES])),
    )


@contextmanager
def patient() -> Iterator[dict[str, Behaviour]]:
    behaviours = {"x": Behaviour(GOOD_CHAT, GOOD_MODELS, GOOD_METRICS)}
    with serving(behaviours) as address, pytest.MonkeyPatch.context() as patch:
        import typer

        def leave(status: int) -> None:
            raise typer.Exit(status)

        patch.setattr("stream_lab.cli.doctor.leave", leave)
        patch.setattr("stream_lab.doctor.target.MODELS_WITHIN", 1.0)
        patch.setattr("stream_lab.experiment.witness.PAGE_WITHIN", 1.0)
        patch.delenv("OPENAI_API_KEY", raising=False)
        behaviours["address"] = address  # type: ignore[assignment]
        yield behaviours


def _is_examined(behaviours: dict[str, Any], value: Service) -> None:
    pieces = cut(value.stream.body, list(value.stream.one))
    body = [chunk(each) if value.framed else each for each in pieces if each]
    head = value.head + (CHUNKED if value.framed else b"\r\n")
    behaviours["x"] = Behaviour(
        said(head, *body, *([b"0\r\n\r\n"] if value.framed else [])),
        whole(value.models),
        whole(value.metrics),
    )
    done = invoke(["doctor", f"{behaviours['address']}/x/v1", "--watch", "1", "--json"])
    output = done.stdout + done.stderr
    assert done.returncode in (0, 1, 2), output
    assert all(each.isprintable() or each == "\n" for each in output), output
    with suppress(ValueError):
        _assert_printable(json.loads(done.stdout))


TARGETS: list[Target[Any]] = [
    Target(
        "an answer is judged, and its events are the same however it is cut",
        heard(),
        _is_judged,
        _trust_a_split,
        rows={
            "a content type that cannot be printed": Heard(
                Stream(b"hello"), True, 200, "a/\x9b[/x]", End.WHOLE, (0.1,), {}
            )
        },
        examples=120,
        guided=("stream_lab.doctor", "stream_lab.untrusted"),
    ),
    Target(
        "a chunk of any types is judged",
        heard(),
        _is_judged,
        _trust_a_type,
        shows=TypeError,
        examples=1,
        to_plant=2000,
    ),
    Target(
        "a log of any lines is read and shown as text",
        logs(),
        _is_read,
        _show_a_line_as_it_is,
        folder,
        {
            "a time that is infinite": as_json({**KEYED[0], "time": float("inf")}).encode(),
            "a time that is no float": as_json({**KEYED[0], "time": 10**400}).encode(),
        },
        examples=150,
        guided=("stream_lab.doctor", "stream_lab.untrusted"),
    ),
    Target(
        "any server is examined by the command",
        services(),
        _is_examined,
        _trust_its_json,
        patient,
        shows=LookupError,
        examples=3,
        to_plant=300,
    ),
]
