"""What the server gets of an application's answer, and what is held back."""

import asyncio
from typing import Any

import pytest

from stream_deadline._asgi_outbox import (
    COMPLETE,
    DROPPED,
    ENDING,
    SILENT,
    STREAMING,
    Outbox,
    Stage,
    headers_of,
)
from stream_deadline.asgi import ASGIMessage
from tests.stream_deadline.asgi_caller import EVENTS, JSON, TEXT
from tests.stream_deadline.sources import elapsed, virtually

Headers = list[tuple[bytes, bytes]]
LONG: Headers = [(b"Content-Length", b"3")]


def start(headers: Headers | None = None, status: int = 200) -> ASGIMessage:
    kind = "http.response.start"
    return {"type": kind, "status": status, "headers": TEXT if headers is None else headers}


def body(said: bytes, more: bool = True) -> ASGIMessage:
    return {"type": "http.response.body", "body": said, "more_body": more}


END = body(b"", more=False)
LAST = body(b"abc", more=False)
BARE: ASGIMessage = {"type": "http.response.body"}
TRAILERS: ASGIMessage = {"type": "http.response.trailers", "headers": []}
PUSH: ASGIMessage = {"type": "http.response.push", "path": "/x", "headers": []}
FILE: ASGIMessage = {"type": "http.response.pathsend", "path": "/a/file"}
COPY: ASGIMessage = {"type": "http.response.zerocopysend", "file": 7}
COPIES: ASGIMessage = {**COPY, "more_body": True}


class Sent:
    """An outbox, what its server got, and how often it told of the end."""

    def __init__(self, hold_end: bool = True) -> None:
        self.messages: list[ASGIMessage] = []
        self.told: list[str] = []
        self.outbox = Outbox(
            self._take,
            hold_end=hold_end,
            on_last=lambda: self.told.append("last"),
            on_held=lambda: self.told.append("held"),
        )

    async def _take(self, message: ASGIMessage) -> None:
        self.messages.append(message)

    async def say(self, *messages: ASGIMessage) -> None:
        for message in messages:
            await self.outbox.send(message)


HELD, UNHELD = ["last", "held"], ["last"]


@virtually
@pytest.mark.parametrize(
    ("said", "passed", "stage", "told"),
    [
        ([], 0, SILENT, []),
        ([start()], 0, SILENT, []),
        ([start(), body(b"")], 2, STREAMING, []),
        ([start(), body(b"a"), body(b"b")], 3, STREAMING, []),
        ([start(), COPIES, COPIES], 3, STREAMING, []),
        ([start(), body(b"a"), END], 2, ENDING, HELD),
        ([start(), body(b"a"), LAST], 2, ENDING, HELD),
        ([start(), body(b"a"), BARE, BARE, TRAILERS], 2, ENDING, HELD),
        ([start(), body(b"a"), FILE], 2, ENDING, HELD),
        # An empty answer may be a stream that failed; one of a known length is none.
        ([start(), END], 0, ENDING, HELD),
        ([start(EVENTS), BARE], 0, ENDING, HELD),
        ([start(LONG), END], 2, COMPLETE, UNHELD),
        ([start(status=204), END], 2, COMPLETE, UNHELD),
        ([start(status=304), END], 2, COMPLETE, UNHELD),
        ([start(), LAST], 2, COMPLETE, UNHELD),
        ([start(LONG), FILE], 2, COMPLETE, UNHELD),
        ([start(LONG), COPY], 2, COMPLETE, UNHELD),
        ([start(LONG), body(b"a"), LAST], 2, ENDING, HELD),
        # What comes after the end is the server's to judge.
        ([start(LONG), LAST, BARE, TRAILERS], 4, COMPLETE, UNHELD),
        # A push is no part of the answer, but its status must not come later than it did.
        ([PUSH], 1, SILENT, []),
        ([start(), PUSH], 2, STREAMING, []),
        ([start(), body(b"a"), PUSH, body(b"b")], 4, STREAMING, []),
        # A second status, or none at all, is for the server to refuse.
        ([body(b"a"), body(b"b")], 2, STREAMING, []),
        ([start(), body(b"a"), start()], 3, STREAMING, []),
    ],
)
async def test_the_server_gets_a_status_with_its_first_chunk_and_no_end_of_a_stream(
    said: list[ASGIMessage], passed: int, stage: Stage, told: list[str]
) -> None:
    sent = Sent()
    await sent.say(*said)
    assert sent.messages == said[:passed]
    assert (sent.outbox.stage, sent.told) == (stage, told)
    assert sent.outbox.is_complete is ("last" in told)
    assert sent.outbox.has_begun is (passed > 0 and stage is not SILENT)
    waits = bool(said) and said[0]["type"] == "http.response.start" and not passed
    assert sent.outbox.start is (said[0] if waits else None)


@virtually
@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ([start(), END], [start(), END]),
        ([start(), body(b"a"), LAST], [start(), body(b"a"), LAST]),
        ([start(), body(b"a"), END, BARE, TRAILERS], [start(), body(b"a"), END, TRAILERS]),
    ],
)
async def test_the_end_that_is_held_back_is_released_with_its_trailers_and_once(
    said: list[ASGIMessage], passed: list[ASGIMessage]
) -> None:
    sent = Sent()
    await sent.say(*said)
    await sent.outbox.release()
    assert sent.messages == passed
    assert (sent.outbox.stage, sent.outbox.start, sent.outbox.has_begun) == (COMPLETE, None, True)
    await sent.say(TRAILERS)
    assert sent.messages == [*passed, TRAILERS]


@virtually
@pytest.mark.parametrize("said", [[start(), END], [start(), body(b"a"), END]])
async def test_an_inner_middleware_holds_no_end_back(said: list[ASGIMessage]) -> None:
    sent = Sent(hold_end=False)
    await sent.say(*said)
    assert (sent.messages, sent.outbox.stage, sent.told) == (said, COMPLETE, UNHELD)


@virtually
@pytest.mark.parametrize(
    ("said", "passed", "has_begun"),
    [
        ([start()], 0, False),
        ([start(), body(b"a")], 2, True),
        ([start(), body(b"a"), END], 2, True),
        ([start(), END], 0, False),
        ([start(LONG), LAST], 2, True),
    ],
)
async def test_nothing_of_an_answer_that_was_dropped_is_passed_on(
    said: list[ASGIMessage], passed: int, has_begun: bool
) -> None:
    sent = Sent()
    await sent.say(*said)
    told = list(sent.told)
    for _ in range(2):
        sent.outbox.drop()
        await sent.say(start(), body(b"x"), LAST, TRAILERS)
    assert sent.messages == said[:passed]
    assert sent.told == told
    assert (sent.outbox.stage, sent.outbox.is_complete) == (DROPPED, False)
    assert sent.outbox.has_begun is has_begun


@virtually
async def test_a_task_that_sends_in_a_loop_after_the_drop_can_be_cancelled() -> None:
    sent = Sent()
    sent.outbox.drop()
    said = 0

    async def says() -> None:
        nonlocal said
        while (said := said + 1) < 1000:
            await sent.say(body(b"x"))

    saying = asyncio.create_task(says())
    await asyncio.sleep(0)
    saying.cancel()
    await asyncio.wait((saying,))
    assert said < 10
    await sent.say(body(b"x"))
    assert elapsed() == 0


@virtually
async def test_an_answer_goes_forward_only() -> None:
    order = (SILENT, STREAMING, ENDING, COMPLETE, DROPPED)
    for number, stage in enumerate(order):
        for other, target in enumerate(order):
            outbox = Sent().outbox
            outbox.stage = stage
            if other > number:
                outbox.move(target)
                assert outbox.stage is target
            else:
                with pytest.raises(RuntimeError, match="cannot become"):
                    outbox.move(target)
                assert outbox.stage is stage


GZIP = [*EVENTS, (b"content-encoding", b"gzip")]


@virtually
@pytest.mark.parametrize(
    ("headers", "chunks", "takes"),
    [
        (EVENTS, [], True),
        ([(b"Content-Type", b"TEXT/Event-Stream")], [], True),
        (EVENTS, [b""], True),
        (EVENTS, [b"data: x\n\n"], True),
        (EVENTS, [b"data: x\r\n\r\n"], True),
        (EVENTS, [b"data: x\r\r"], True),
        (EVENTS, [b"data: x\n"], False),
        (EVENTS, [b"data: x\r\n"], False),
        (EVENTS, [b"data: x"], False),
        (EVENTS, [b"data: x\n\n", b"data: y"], False),
        (EVENTS, [b"data: x\n\n", b""], True),
        (EVENTS, [b"data: x", b"", b""], False),
        # An event's end may come in any number of pieces.
        (EVENTS, [b"data: x\n", b"\n"], True),
        (EVENTS, [b"data: x", b"\n", b"\n"], True),
        (EVENTS, [b"data: x\r", b"\n\r", b"\n"], True),
        (EVENTS, [b"data: x", b"\r", b"\n", b"\r", b"\n"], True),
        (EVENTS, [b"data: x\r\n\r", b"\n"], True),
        (EVENTS, [b"data: x\r", b"\n\r\n"], True),
        (EVENTS, [b"data: x\n", b"y\n"], False),
        (TEXT, [], False),
        (TEXT, [b"x\n\n"], False),
        (JSON, [b"x\n\n"], False),
        ([], [b"x\n\n"], False),
        (GZIP, [b"x\n\n"], False),
        ([*EVENTS, *LONG], [b"x\n\n"], False),
    ],
)
async def test_an_event_can_follow_a_whole_event_of_a_stream_and_nothing_else(
    headers: Headers, chunks: list[bytes], takes: bool
) -> None:
    sent = Sent()
    await sent.say(start(headers), *[body(each) for each in chunks])
    assert sent.outbox.takes_an_event is takes


@virtually
async def test_a_stream_without_a_status_takes_no_event() -> None:
    assert Sent().outbox.takes_an_event is False


def test_the_names_of_headers_are_read_in_lower_case() -> None:
    message: Any = {"headers": [(b"X-A", b"B"), [bytearray(b"Vary"), memoryview(b"Origin")]]}
    assert headers_of(message) == [(b"x-a", b"B"), (b"vary", b"Origin")]
    assert headers_of({}) == []
