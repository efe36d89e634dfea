"""`DeadlineMiddleware` bounds a WebSocket of a real uvicorn, before a fake vLLM."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from fake_vllm.testing import FakeVllm
from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_deadline.asgi import DeadlineMiddleware
from stream_lab.processes import serve

ENOUGH = 5.0
"""Seconds within which anything here happens, on a busy machine."""


@pytest.fixture(scope="module")
def endless() -> Iterator[FakeVllm]:
    with FakeVllm("endless", gap=0.02) as server:
        yield server


@pytest.fixture(params=["websockets", "websockets-sansio"])
def connected(request: pytest.FixtureRequest, endless: FakeVllm) -> Iterator[Callable[..., Any]]:
    """Serve an application that answers each message, and connect a client to it."""
    endless.clear()
    model = ChatVllm(model=endless.model, base_url=endless.base_url, api_key="-")

    async def chat(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                question = await socket.receive_text()
                try:
                    if question == "collect":
                        await model.ainvoke(question)  # does not notice that the client has left
                    async for chunk in model.astream(question):
                        await socket.send_text(str(chunk.content))
                except StreamDeadlineExceeded as error:
                    if error.bound == "caller" or question == "raise":
                        raise
                    await socket.send_text(f"late: {error.elapsed:.1f}")
        except WebSocketDisconnect:
            pass

    with ExitStack() as stack:

        def start(*, headers: dict[str, str] | None = None, **options: Any) -> ClientConnection:
            app = Starlette(routes=[WebSocketRoute("/ws", chat)])
            app.add_middleware(DeadlineMiddleware, **options)
            served = stack.enter_context(serve(app, ws=request.param))
            url = served.url.replace("http://", "ws://") + "/ws"
            client: ClientConnection = stack.enter_context(
                connect(url, proxy=None, additional_headers=headers)
            )
            return client

        yield start


def until_late(client: ClientConnection) -> float:
    """Read the answer, and return the seconds after which the model's call ended."""
    while not (text := str(client.recv(timeout=ENOUGH))).startswith("late: "):
        pass
    return float(text.removeprefix("late: "))


def until_closed(client: ClientConnection) -> Close:
    """Read what comes, and return how the server closed."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(timeout=ENOUGH)
    assert client.protocol.close_rcvd is not None
    return client.protocol.close_rcvd


def by_closing(client: ClientConnection) -> None:
    client.close()


def by_being_cut_off(client: ClientConnection) -> None:
    client.socket.close()


@pytest.mark.parametrize("leave", [by_closing, by_being_cut_off])
@pytest.mark.parametrize("question", ["stream", "collect"])
@pytest.mark.parametrize("websockets", ["message", "connection"])
def test_a_client_that_disconnects_frees_the_slot(
    question: str, websockets: str, leave: Callable[[Any], None], connected: Any, endless: FakeVllm
) -> None:
    client = connected(default_timeout=60, websockets=websockets)
    client.send(question)
    assert endless.until_started().slot_freed is None
    leave(client)
    assert endless.until_freed().end == "client left"


def test_each_message_has_a_budget_and_the_socket_lives_on(
    connected: Any, endless: FakeVllm
) -> None:
    client = connected(headers={"grpc-timeout": "500m"}, default_timeout=60)
    for _ in range(2):
        client.send("Why?")
        assert 0.3 < until_late(client) < 2
        assert endless.until_freed().end == "client left"
        time.sleep(0.6)  # longer than a budget
    assert len(endless.requests) == 2


def test_a_connection_has_one_budget_and_is_closed_at_its_end(
    connected: Any, endless: FakeVllm
) -> None:
    client = connected(headers={"x-timeout-ms": "700"}, websockets="connection")
    client.send("Why?")
    closed = until_closed(client)
    assert closed.code == 1013
    assert closed.reason.startswith("deadline_exceeded: ")
    assert endless.until_freed().end == "client left"


def test_an_error_that_is_raised_closes_the_connection(connected: Any) -> None:
    client = connected(default_timeout=0.3)
    client.send("raise")
    assert until_closed(client).code == 1013


@pytest.mark.parametrize(("header", "status"), [("soon", 400), ("0", 504)])
def test_a_handshake_with_a_bad_deadline_has_a_status(
    header: str, status: int, connected: Any
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connected(headers={"x-timeout-ms": header})
    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body or b"")["error"]["message"]
