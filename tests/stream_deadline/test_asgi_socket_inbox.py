"""What is read of a WebSocket ahead of the application, and when."""

import asyncio
from typing import Any

import pytest

from stream_deadline._asgi_socket_inbox import SocketInbox
from stream_deadline.asgi import ASGIMessage
from tests.stream_deadline.asgi_server import Server
from tests.stream_deadline.sources import elapsed, virtually

CONNECT: ASGIMessage = {"type": "websocket.connect"}
LEAVES: ASGIMessage = {"type": "websocket.disconnect", "code": 1001}
WHOLE, HALF = 64 * 1024, 32 * 1024


def text(size: int) -> ASGIMessage:
    return {"type": "websocket.receive", "text": "x" * size, "bytes": None}


def data(size: int) -> ASGIMessage:
    return {"type": "websocket.receive", "bytes": b"x" * size, "text": None}


@virtually
@pytest.mark.parametrize(
    ("messages", "asked", "disconnected"),
    [
        ([], 1, False),
        ([CONNECT], 2, False),
        ([CONNECT, LEAVES], 2, True),
        ([LEAVES, CONNECT], 1, True),
        ([text(1)] * 15 + [LEAVES], 16, True),
        ([text(1)] * 16 + [LEAVES], 16, False),
        ([text(WHOLE - 1), LEAVES], 2, True),
        ([data(WHOLE - 1), LEAVES], 2, True),
        ([text(WHOLE), LEAVES], 1, False),
        ([data(WHOLE), LEAVES], 1, False),
        ([text(HALF), data(HALF), LEAVES], 2, False),
        ([text(HALF), data(HALF - 1), LEAVES], 3, True),
        ([KeyError("x"), LEAVES], 1, False),  # after an error a server is not read from again
        ([None, LEAVES], 1, False),
        ([{}, LEAVES], 1, False),
    ],
)
async def test_an_application_that_takes_nothing_has_a_little_read_ahead(
    messages: list[Any], asked: int, disconnected: bool
) -> None:
    server = Server(*messages)
    inbox = SocketInbox(server.receive)
    assert inbox.disconnected is False
    filling = asyncio.create_task(inbox.fill())
    await asyncio.sleep(1000)
    filling.cancel()
    assert (len(server.at), inbox.disconnected) == (asked, disconnected)


@virtually
@pytest.mark.parametrize(
    "messages", [[text(1)] * 20, [data(HALF), text(HALF)] * 10, [text(WHOLE)] * 5]
)
async def test_the_next_message_is_read_when_the_application_has_made_room(
    messages: list[ASGIMessage],
) -> None:
    server = Server(*messages, LEAVES)
    inbox = SocketInbox(server.receive)
    filling = asyncio.create_task(inbox.fill())
    await asyncio.sleep(1)
    before, got = len(server.at), []
    assert before < len(messages)
    for taken in range(1, len(messages) + 1):
        got.append(await inbox.receive())
        await asyncio.sleep(1)
        assert len(server.at) == min(before + taken, len(messages) + 1)
    assert got == messages
    assert await inbox.receive() == LEAVES
    await filling
    assert inbox.disconnected


@virtually
async def test_a_disconnect_comes_after_what_was_read_before_it_and_then_again_and_again() -> None:
    inbox = SocketInbox(Server(CONNECT, text(3), LEAVES).receive)
    await inbox.fill()
    got = [await inbox.receive() for _ in range(5)]
    assert got == [CONNECT, text(3), LEAVES, LEAVES, LEAVES]
    assert elapsed() == 0


@virtually
async def test_an_error_of_the_server_comes_after_what_was_read_before_it() -> None:
    inbox = SocketInbox(Server(CONNECT, KeyError("x")).receive)
    await inbox.fill()
    assert await inbox.receive() == CONNECT
    for _ in range(3):
        with pytest.raises(KeyError):
            await inbox.receive()
    assert not inbox.disconnected


@virtually
async def test_an_application_that_waits_gets_the_error_of_the_server() -> None:
    inbox = SocketInbox(Server(KeyError("x")).receive)
    waiting = asyncio.create_task(inbox.receive())
    await asyncio.sleep(1)
    await inbox.fill()
    await asyncio.wait((waiting,), timeout=1)
    assert waiting.done()
    assert isinstance(waiting.exception(), KeyError)


@virtually
async def test_a_task_that_asks_in_a_loop_after_the_end_can_be_cancelled() -> None:
    inbox = SocketInbox(Server(LEAVES).receive)
    await inbox.fill()
    asked = 0

    async def asks() -> None:
        nonlocal asked
        while (asked := asked + 1) < 1000:
            await inbox.receive()

    asking = asyncio.create_task(asks())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait((asking,))
    assert asked < 10
