"""A `receive` that never waits: the event loop goes on, and no messages pile up."""

import asyncio
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stream_deadline._asgi_inbox import LONGEST_PAUSE, MAX_UNREAD, _pause
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from tests.stream_deadline.asgi_caller import DISCONNECT, TEXT, Caller, answers, ask
from tests.stream_deadline.sources import elapsed, virtually

END: ASGIMessage = {"type": "http.request", "body": b"", "more_body": False}
MORE: ASGIMessage = {"type": "http.request", "body": b"", "more_body": True}
FEW = 4 * MAX_UNREAD


def part(body: bytes, more: bool = False) -> ASGIMessage:
    return {"type": "http.request", "body": body, "more_body": more}


def for_ever(*messages: Any) -> Callable[[], Iterator[Any]]:
    return lambda: itertools.cycle(messages)


def then(first: list[Any], *messages: Any) -> Callable[[], Iterator[Any]]:
    return lambda: itertools.chain(first, itertools.cycle(messages))


WELL_MEANT: dict[str, Callable[[], Iterator[Any]]] = {
    "an empty body for ever": for_ever(END),
    "the body, and an empty one for ever": then([part(b"abc")], END),
    "the body for ever": for_ever(part(b"abc")),
    "a body in two parts for ever": for_ever(part(b"ab", True), part(b"c")),
    "the body, and then empty parts for ever": then([part(b"abc")], MORE),
    "no keys at all": for_ever({"type": "http.request"}),
    "no body where one is said": for_ever({"type": "http.request", "body": None}),
    "the body, and then an unknown message": then([part(b"abc")], {"type": "http.novelty"}),
    "the body, and then errors": then([part(b"abc")], IndexError("pop from an empty list")),
    "the body, and then what is no message": then([part(b"abc")], None),
    "the body, and then what has no type": then([part(b"abc")], {}),
    "the body, and then a cancellation": then([part(b"abc")], asyncio.CancelledError()),
    "all sorts": then(
        [part(b"abc")], END, MORE, {"type": "http.novelty"}, part(b"abc"), KeyError("x")
    ),
}
WITHOUT_END: dict[str, Callable[[], Iterator[Any]]] = {
    "empty parts for ever": for_ever(MORE),
    "parts for ever": for_ever(part(b"abc", True)),
    "an unknown message": for_ever({"type": "http.novelty"}),
    "errors": for_ever(OSError("gone")),
    "what is no message": for_ever(None),
    "a cancellation": for_ever(asyncio.CancelledError()),
}
ALL = WELL_MEANT | WITHOUT_END


class Odd(Caller):
    """A server whose `receive` always returns at once; `unwell`: it was called too often."""

    def __init__(self, says: Callable[[], Iterator[Any]]) -> None:
        super().__init__()
        self._says = says()
        self.unwell = False

    async def receive(self) -> ASGIMessage:
        self.asked += 1
        if self.asked > 100_000:
            self.unwell = True
            await asyncio.sleep(1e9)
        said: Any = next(self._says)
        if isinstance(said, BaseException):
            raise said
        message: ASGIMessage = said
        return message


async def deaf(scope: Any, receive: Receive, send: Send) -> None:
    """An application that never receives."""
    await asyncio.sleep(0.1)
    await answers(b"hello", headers=TEXT)(scope, receive, send)


async def reader(scope: Any, receive: Receive, send: Send) -> None:
    """One that reads the body to its end."""
    while (await receive()).get("more_body"):
        pass
    await deaf(scope, receive, send)


async def rereader(scope: Any, receive: Receive, send: Send) -> None:
    """One that reads it twice, for which bodies are played back."""
    for _ in range(2):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + (message.get("body") or b""), message.get("more_body", False)
    await answers(body, headers=TEXT)(scope, receive, send)


async def late(scope: Any, receive: Receive, send: Send) -> None:
    await asyncio.sleep(1e6)


@virtually
@pytest.mark.parametrize("says", WELL_MEANT.values(), ids=WELL_MEANT.keys())
@pytest.mark.parametrize("app", [deaf, reader])
async def test_a_healthy_application_answers(app: Any, says: Callable[[], Iterator[Any]]) -> None:
    caller = Odd(says)
    await ask(app, caller, "1000", max_body_bytes=10)
    assert (caller.status, caller.said, caller.whole) == (200, b"hello", True)
    assert caller.asked < FEW


@virtually
@pytest.mark.parametrize("says", WITHOUT_END.values(), ids=WITHOUT_END.keys())
async def test_an_application_that_does_not_read_an_endless_body_answers(
    says: Callable[[], Iterator[Any]],
) -> None:
    caller = Odd(says)
    await ask(deaf, caller, "1000")
    assert (caller.status, caller.said, caller.whole) == (200, b"hello", True)
    assert caller.asked < FEW


@virtually
@pytest.mark.parametrize("says", ALL.values(), ids=ALL.keys())
async def test_the_deadline_holds(says: Callable[[], Iterator[Any]]) -> None:
    caller = Odd(says)
    await ask(late, caller, "60000")
    assert caller.status == 504
    assert elapsed() < 61
    assert caller.asked < FEW


@virtually
async def test_the_deadline_holds_for_an_application_that_reads_empty_parts() -> None:
    caller = Odd(WITHOUT_END["empty parts for ever"])
    await ask(reader, caller, "60000")
    assert caller.status == 504
    assert caller.asked < 60 / LONGEST_PAUSE + FEW


@virtually
@pytest.mark.parametrize("says", ["the body for ever", "a body in two parts for ever"])
async def test_a_replayed_body_can_be_read_twice(says: str) -> None:
    caller = Odd(WELL_MEANT[says])
    await ask(rereader, caller, "1000", max_body_bytes=3)
    assert caller.said == b"abc"


@virtually
@pytest.mark.parametrize(
    "first",
    [[], [part(b"abc")], [END, END], [MORE]],
    ids=["at once", "after the body", "later", "in it"],
)
@pytest.mark.parametrize("app", [reader, rereader])
async def test_an_immediate_disconnect_counts(app: Any, first: list[ASGIMessage]) -> None:
    caller = Odd(then(first, DISCONNECT))
    await ask(app, caller, "1000")
    assert caller.heard == []
    assert elapsed() < 0.2
    assert caller.asked <= len(first) + 1


@virtually
@pytest.mark.parametrize(
    "says", [END, {"type": "http.novelty"}, OSError("not now")], ids=["empty", "unknown", "errors"]
)
async def test_a_later_disconnect_is_seen_behind_empty_messages(says: Any) -> None:
    what: list[float] = []

    class Chatty(Caller):
        async def receive(self) -> ASGIMessage:
            if not self.asked:
                self.asked += 1
                return part(b"abc")
            if self.asked <= 5:
                self.asked += 1
                if isinstance(says, Exception):
                    raise says
                return dict(says)
            return await super().receive()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await late(scope, receive, send)
        finally:
            what.append(elapsed())

    await ask(app, Chatty(leaves=30, body=[]), "60000")
    assert what == [pytest.approx(30)]


@virtually
async def test_an_error_of_receive_reaches_the_application_that_calls_it() -> None:
    caller = Odd(for_ever(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        await ask(reader, caller)
    assert caller.heard == []


@virtually
async def test_an_application_that_calls_receive_without_end_can_be_cancelled() -> None:
    asked = 0

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal asked
        while (asked := asked + 1) < 100_000:
            await receive()

    await ask(app, Caller(leaves=0.5))
    assert asked < 100


@virtually
async def test_an_application_that_sends_without_end_after_a_disconnect_can_be_cancelled() -> None:
    said = 0

    class Leaves(Caller):
        """Leaves in the middle of what is said without a pause."""

        def __init__(self) -> None:
            super().__init__()
            self._has_enough = asyncio.Event()

        async def receive(self) -> ASGIMessage:
            await self._has_enough.wait()
            return DISCONNECT

        async def send(self, message: ASGIMessage) -> None:
            await super().send(message)
            if len(self.heard) == 10:
                self._has_enough.set()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal said
        await send({"type": "http.response.start", "status": 200, "headers": TEXT})
        while (said := said + 1) < 100_000:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    await ask(app, Leaves())
    assert said < 100


@virtually
async def test_memory_does_not_grow() -> None:
    """Ten minutes of a server that answers at once."""
    caller = Odd(for_ever(END))
    gc.collect()
    before = sys.getallocatedblocks()
    most = 0

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal most
        for _ in range(600):
            await asyncio.sleep(1)
            most = max(most, sys.getallocatedblocks())

    await DeadlineMiddleware(app)(
        {"type": "http", "method": "GET", "path": "/", "headers": []}, caller.receive, caller.send
    )
    assert not caller.unwell
    assert most - before < 20_000


@pytest.mark.parametrize(
    ("idle", "pause"),
    [
        (0, 0.0),
        (8, 0.0),
        (9, 0.002),
        (10, 0.004),
        (11, 0.008),
        (30, LONGEST_PAUSE),
        (10**9, LONGEST_PAUSE),
    ],
)
def test_reads_without_content_are_twice_as_far_apart_each_time(idle: int, pause: float) -> None:
    assert _pause(idle) == pause
