"""The stages of a WebSocket, and what they mean for the application and its calls."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest

from stream_deadline import StreamDeadlineExceeded
from stream_deadline._asgi_exchange import GRACE
from stream_deadline._asgi_socket import Socket, _closing
from stream_deadline._call_group import CallGroup, current_group
from stream_deadline._deadline import remaining
from stream_deadline._error_response import ErrorResponse
from stream_deadline.asgi import ASGIMessage, Receive, Send
from tests.stream_deadline.asgi_caller import error_of
from tests.stream_deadline.asgi_socket_client import ACCEPT, DENIAL, Client, connect
from tests.stream_deadline.sources import elapsed, virtually

both = pytest.mark.parametrize("websockets", ["message", "connection"])
CLOSE: ASGIMessage = {"type": "websocket.close", "code": 1000}
SAYS: ASGIMessage = {"type": "websocket.send", "text": "x"}
REFUSES: ASGIMessage = {"type": "websocket.http.response.start", "status": 403, "headers": []}


def body(**more: Any) -> ASGIMessage:
    return {"type": "websocket.http.response.body", "body": b"no", **more}


@virtually
@pytest.mark.parametrize(
    ("said", "is_over"),
    [
        ([], False),
        ([ACCEPT], False),
        ([ACCEPT, SAYS], False),
        ([ACCEPT, {**SAYS, "more_body": True}], False),
        ([ACCEPT, CLOSE], True),
        ([CLOSE], True),
        ([REFUSES], False),
        ([REFUSES, body(more_body=True)], False),
        ([REFUSES, body()], True),
        ([REFUSES, body(more_body=True), body(more_body=False)], True),
    ],
)
async def test_the_budget_of_a_connection_ends_with_the_applications_close_or_whole_refusal(
    said: list[ASGIMessage], is_over: bool
) -> None:
    done: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        for message in said:
            await send(message)
        await asyncio.sleep(10)
        done.append(remaining())

    client = Client()
    await connect(app, client, "1000", websockets="connection", extensions=DENIAL)
    assert done == ([float("inf")] if is_over else [])
    heard = [message for _, message in client.heard]
    assert heard[: len(said)] == said
    assert (len(heard) == len(said)) is is_over


@virtually
@both
async def test_an_outer_group_keeps_nothing_of_a_connection_that_is_over(websockets: str) -> None:
    with CallGroup() as around:
        seen: list[bool] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            seen.append(around.has_calls)

        await connect(app, Client(), websockets=websockets)
        assert seen == [True]
        assert not around.has_calls


@virtually
@both
async def test_nothing_is_passed_on_of_an_application_whose_server_stops(websockets: str) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await send(SAYS)
            await send(CLOSE)

    client = Client()
    serving = asyncio.create_task(connect(app, client, websockets=websockets))
    await asyncio.sleep(1)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert client.kinds == ["accept"]
    assert elapsed() == 1


@virtually
async def test_an_application_that_sends_without_end_after_the_close_can_be_cancelled() -> None:
    said = 0

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal said
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        while (said := said + 1) < 10_000:
            await send(SAYS)

    await connect(app, Client(), "1000", websockets="connection")
    assert said < 100
    assert elapsed() == pytest.approx(1 + GRACE)


@virtually
async def test_the_calls_of_a_late_connection_end_although_its_client_does_not_read() -> None:
    ended: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        calls = current_group()
        assert calls is not None
        calls.add(lambda: ended.append(elapsed()))
        await send(ACCEPT)
        await asyncio.Event().wait()

    await connect(app, Client(reads=False), "1000", websockets="connection")
    assert ended[0] == pytest.approx(1 + GRACE)


@virtually
@pytest.mark.parametrize("ends", ["cancelled", "returns"])
@both
async def test_work_that_ends_by_itself_tells_the_server_how(websockets: str, ends: str) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        if ends == "cancelled":
            raise asyncio.CancelledError

    client = Client()
    serving = asyncio.create_task(connect(app, client, "1000", websockets=websockets))
    await asyncio.wait((serving,))
    assert serving.cancelled() is (ends == "cancelled")
    assert client.kinds == ["accept"]


@virtually
@both
@pytest.mark.parametrize("closes", [True, False])
async def test_a_late_call_reaches_the_server_only_after_the_applications_own_close(
    closes: bool, websockets: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The server logs it then, since no message can tell the client any more."""
    late = StreamDeadlineExceeded("timeout", 1, 1)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        if closes:
            await send(CLOSE)
        raise late

    client = Client()
    raised: list[BaseException] = []
    with caplog.at_level(logging.INFO, "stream_deadline.asgi"):
        try:
            await connect(app, client, websockets=websockets)
        except StreamDeadlineExceeded as error:
            raised.append(error)
    assert raised == ([late] if closes else [])
    assert client.kinds == ["accept", "close"]
    assert client.last["code"] == (1000 if closes else 1013)
    assert len(caplog.messages) == (0 if closes else 1)
    assert closes or caplog.messages[0].endswith(" The connection is closed.")


@virtually
@both
async def test_an_error_after_the_client_has_left_is_one_line_of_the_log(
    websockets: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await asyncio.sleep(2)
        raise StreamDeadlineExceeded("timeout", 1, 1)

    client = Client(leaves=1)
    with caplog.at_level(logging.INFO, "stream_deadline.asgi"):
        await connect(app, client, websockets=websockets)
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert "the work ended with StreamDeadlineExceeded" in record.getMessage()
    assert client.heard == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 1008), (499, 1008), (500, 1011), (502, 1011), (503, 1013), (504, 1013), (505, 1011)],
)
def test_the_code_of_a_close_says_whether_to_come_again(status: int, code: int) -> None:
    assert _closing(ErrorResponse(status, "a_kind", "A text.")) == {
        "type": "websocket.close",
        "code": code,
        "reason": "a_kind: A text.",
    }


@pytest.mark.parametrize("text", ["x" * 1000, "é" * 1000, "𝄞" * 1000, "x" + "é" * 1000])
def test_the_reason_of_a_close_has_123_bytes_at_most(text: str) -> None:
    reason = _closing(ErrorResponse(500, "a_kind", text))["reason"]
    assert 123 - 4 < len(reason.encode()) <= 123
    assert reason.startswith("a_kind: " + text[:20])


@virtually
async def test_a_refusal_is_a_whole_response_where_the_server_can_send_one() -> None:
    sent: list[ASGIMessage] = []

    async def send(message: ASGIMessage) -> None:
        sent.append(message)

    async def nothing(*_: object) -> Any: ...

    response = ErrorResponse(503, "model_busy", "Busy.", None, "7")
    socket = Socket(nothing, {"extensions": DENIAL}, nothing, send, "message")
    await socket.refuse(response)
    start, last = sent
    assert start == {
        "type": "websocket.http.response.start",
        "status": 503,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(last["body"])).encode()),
            (b"retry-after", b"7"),
        ],
    }
    assert last["type"] == "websocket.http.response.body"
    assert not last.get("more_body")
    assert error_of(last["body"]) == {"type": "model_busy", "message": "Busy."}
    without: list[ASGIMessage] = [{}, {"extensions": None}, {"extensions": {"another": {}}}]
    for scope in without:
        sent.clear()
        await Socket(nothing, scope, nothing, send, "message").refuse(response)
        assert sent == [_closing(response)]


@virtually
async def test_a_connection_without_a_path_has_a_line_of_the_log_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nothing(*_: object) -> Any: ...

    await Socket(nothing, {}, nothing, nothing, "message").refuse(ErrorResponse(400, "k", "Bad."))
    assert caplog.messages[0].startswith("WEBSOCKET  after ")
