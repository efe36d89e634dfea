"""What is read of a request ahead of the application, and when."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from stream_deadline._asgi_inbox import Inbox
from stream_deadline._error_response import ErrorResponse
from stream_deadline.asgi import ASGIMessage
from tests.stream_deadline.asgi_server import Server
from tests.stream_deadline.sources import elapsed, virtually

DISCONNECT: ASGIMessage = {"type": "http.disconnect"}
WHOLE: ASGIMessage = {"type": "http.request", "body": b"abc"}
PART: ASGIMessage = {"type": "http.request", "body": b"abc", "more_body": True}
EMPTY: ASGIMessage = {"type": "http.request", "body": b"", "more_body": True}
NOVELTY: ASGIMessage = {"type": "http.novelty"}


async def filled(inbox: Inbox, seconds: float = 1000.0) -> ErrorResponse | None:
    """Let an inbox fill for a while; None: it has refused nothing."""
    try:
        return await asyncio.wait_for(inbox.fill(), seconds)
    except TimeoutError:
        return None


async def takes_all(inbox: Inbox) -> None:
    """Be an application that reads on whatever comes."""
    while True:
        with suppress(KeyError):
            await inbox.receive()


@virtually
@pytest.mark.parametrize(
    ("messages", "asked", "disconnected"),
    [
        ([], 1, False),
        ([DISCONNECT, WHOLE], 1, True),
        ([WHOLE], 2, False),  # the next one is the disconnect
        ([WHOLE, DISCONNECT, WHOLE], 2, True),
        ([{"type": "http.request"}, DISCONNECT], 2, True),
        ([{"type": "http.request", "body": None}, DISCONNECT], 2, True),
        ([PART, DISCONNECT], 1, False),
        ([EMPTY, DISCONNECT], 1, False),
        ([WHOLE, WHOLE, DISCONNECT], 2, False),  # a replayed body is not piled up either
        ([WHOLE, EMPTY, DISCONNECT], 2, False),
        ([NOVELTY, {**NOVELTY, "more_body": True}, DISCONNECT], 3, True),
        ([NOVELTY] * 15 + [DISCONNECT], 16, True),
        ([NOVELTY] * 16 + [DISCONNECT], 16, False),
        ([{**NOVELTY, "body": b"x"}, DISCONNECT], 1, False),
        ([KeyError("x"), None, {}, DISCONNECT], 4, True),
        ([KeyError("x")] * 16 + [DISCONNECT], 16, False),
    ],
)
async def test_an_application_that_takes_nothing_has_a_little_read_ahead(
    messages: list[Any], asked: int, disconnected: bool
) -> None:
    server = Server(*messages)
    inbox = Inbox(server.receive, None)
    assert inbox.disconnected is False
    assert await filled(inbox) is None
    assert (len(server.at), inbox.disconnected) == (asked, disconnected)


@virtually
async def test_the_next_part_is_read_when_the_application_has_taken_the_one_before() -> None:
    server = Server(PART, EMPTY, PART, WHOLE, DISCONNECT)
    inbox = Inbox(server.receive, None)
    filling = asyncio.create_task(inbox.fill())
    asked = []
    for _ in range(4):
        await asyncio.sleep(1)
        asked.append(len(server.at))
        await inbox.receive()
    assert asked == [1, 2, 3, 5]
    assert await filling is None


@virtually
async def test_a_disconnect_comes_after_all_that_was_read_before_it() -> None:
    inbox = Inbox(Server(NOVELTY, WHOLE, DISCONNECT).receive, None)
    await inbox.fill()
    assert inbox.disconnected
    got = [await inbox.receive() for _ in range(5)]
    assert got == [NOVELTY, WHOLE, DISCONNECT, DISCONNECT, DISCONNECT]
    assert elapsed() == 0


@virtually
async def test_an_error_of_the_server_is_raised_to_the_application_in_its_turn() -> None:
    inbox = Inbox(Server(NOVELTY, KeyError("x"), DISCONNECT).receive, None)
    await inbox.fill()
    assert await inbox.receive() == NOVELTY
    with pytest.raises(KeyError):
        await inbox.receive()
    assert await inbox.receive() == DISCONNECT


@virtually
async def test_a_server_that_is_cancelled_is_read_no_further() -> None:
    server = Server(asyncio.CancelledError(), DISCONNECT)
    inbox = Inbox(server.receive, None)
    with pytest.raises(asyncio.CancelledError):
        await inbox.fill()
    assert (len(server.at), inbox.disconnected) == (1, False)
    with pytest.raises(asyncio.CancelledError):
        await inbox.receive()


@virtually
@pytest.mark.parametrize(
    ("most", "messages", "asked", "refused"),
    [
        (3, [WHOLE, DISCONNECT], 2, False),
        (2, [WHOLE, DISCONNECT], 1, True),
        (6, [PART, WHOLE, DISCONNECT], 3, False),
        (5, [PART, WHOLE, DISCONNECT], 2, True),
        (3, [WHOLE, WHOLE, WHOLE, DISCONNECT], 4, False),  # it is the same body
        (1, [EMPTY, EMPTY, DISCONNECT], 3, False),
        (1, [KeyError("x"), {**NOVELTY, "body": b"xy"}], 2, True),
        (None, [{**WHOLE, "body": b"x" * 10**6}, DISCONNECT], 2, False),
    ],
)
async def test_a_body_may_have_as_many_bytes_as_are_set_and_no_more(
    most: int | None, messages: list[Any], asked: int, refused: bool
) -> None:
    server = Server(*messages)
    inbox = Inbox(server.receive, most)

    taking = asyncio.create_task(takes_all(inbox))
    response = await filled(inbox)
    taking.cancel()
    assert len(server.at) == asked
    assert inbox.disconnected is not refused
    if refused:
        assert response is not None
        assert (response.status, response.kind) == (413, "body_too_large")
        assert f"at most {most} bytes" in response.text
    else:
        assert response is None


GENTLER = [0.0] * 8 + [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 1.0]
"""Seconds before each read, after one without content."""


@virtually
@pytest.mark.parametrize(
    ("messages", "pauses"),
    [
        ([NOVELTY] * 19, GENTLER),
        ([EMPTY] * 19, GENTLER),
        ([KeyError("x")] * 19, GENTLER),
        # The end of a body is followed by a disconnect, and a replayed body says nothing new.
        ([WHOLE] * 20, [0.0, *GENTLER]),
        ([WHOLE] + [PART] * 19, [0.0, *GENTLER]),
        # A part of the body is read at once, and the server is asked often again.
        ([NOVELTY] * 10 + [PART] * 2 + [NOVELTY] * 10, [*GENTLER[:10], 0.0, 0.0, *GENTLER[:10]]),
    ],
    ids=["unknown", "empty", "errors", "the body again", "parts again", "parts"],
)
async def test_a_server_that_says_nothing_is_read_from_ever_less_often(
    messages: list[Any], pauses: list[float]
) -> None:
    server = Server(*messages)
    inbox = Inbox(server.receive, None)

    taking = asyncio.create_task(takes_all(inbox))
    await filled(inbox)
    taking.cancel()
    found = [after - before for before, after in zip(server.at, server.at[1:], strict=False)]
    assert found == pytest.approx(pauses)
