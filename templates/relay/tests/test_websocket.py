"""The same over a WebSocket."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any, ClassVar, cast

import pytest
from fake_vllm.testing import FakeVllm
from langchain_core.messages import AIMessage, AIMessageChunk
from starlette.websockets import WebSocketState
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from relay import websocket
from relay.chain import make_chain
from relay.settings import Settings


def connected(relay: str, **options: Any) -> ClientConnection:
    caller: ClientConnection = connect(
        relay.replace("http://", "ws://") + "/ws", proxy=None, **options
    )
    return caller


def said(caller: ClientConnection) -> list[dict[str, Any]]:
    """All that comes until the server closes the connection."""
    return [json.loads(message) for message in caller]


def ask(caller: ClientConnection, **more: object) -> None:
    caller.send(json.dumps({"question": "Why?", **more}))


def test_tokens_and_then_done(relay: str) -> None:
    with connected(relay) as caller:
        ask(caller)
        *tokens, last = said(caller)
    assert len(tokens) > 3
    assert {message["type"] for message in tokens} == {"token"}
    assert last == {"type": "done", "finish_reason": "stop"}


@pytest.mark.fake_vllm("endless")
def test_stop_ends_the_generation(relay: str, fake_vllm: FakeVllm) -> None:
    with connected(relay) as caller:
        ask(caller)
        assert json.loads(caller.recv())["type"] == "token"
        caller.send("never mind")  # means nothing
        caller.send(json.dumps({"type": "stop"}))
        assert said(caller)[-1] == {"type": "stopped"}
    assert fake_vllm.until_freed().end == "client left"


def test_a_stop_while_a_token_is_sent_frees_the_model_before_the_last_message() -> None:
    """The task is cancelled outside the stream then, and would leave it to the collector."""
    order: list[str] = []
    sends = asyncio.Event()

    class Model:
        async def astream(self, question: object) -> AsyncIterator[AIMessageChunk]:
            try:
                while True:
                    yield AIMessageChunk(content="so ")
            finally:
                order.append("the model is free")

    class Slow:
        async def receive_text(self) -> str:
            return '{"question": "Why?"}'

        async def receive_json(self) -> dict[str, str]:
            await sends.wait()
            return {"type": "stop"}

        async def send_json(self, message: dict[str, str]) -> None:
            sends.set()
            await asyncio.sleep(60)

    async def stopped() -> None:
        settings = Settings("http://127.0.0.1:9/v1", "m")
        last = await websocket._answer(cast("Any", Slow()), cast("Any", Model()), settings)
        order.append(last["type"])

    gc.disable()
    try:
        asyncio.run(stopped())
    finally:
        gc.enable()
    assert order == ["the model is free", "stopped"]


@pytest.mark.fake_vllm("endless")
def test_a_stop_frees_the_model_though_a_generator_inside_the_chain_stays_open(
    settings: Settings, fake_vllm: FakeVllm
) -> None:
    """LangChain closes only the outermost generator, and a traceback can hold the others."""
    chain = make_chain(settings)
    inside: list[AsyncIterator[AIMessage]] = []

    class Nested:
        async def astream(self, question: dict[str, str]) -> AsyncIterator[AIMessage]:
            inside.append(chain.astream(question))
            async for chunk in inside[0]:
                yield chunk

    class Client:
        sent = asyncio.Event()

        async def receive_text(self) -> str:
            return '{"question": "Why?"}'

        async def receive_json(self) -> dict[str, str]:
            await self.sent.wait()
            return {"type": "stop"}

        async def send_json(self, message: dict[str, str]) -> None:
            self.sent.set()
            await asyncio.sleep(60)

    async def stopped() -> None:
        last = await websocket._answer(cast("Any", Client()), cast("Any", Nested()), settings)
        assert last == {"type": "stopped"}
        assert (await asyncio.to_thread(fake_vllm.until_freed)).end == "client left"

    asyncio.run(stopped())
    assert inside


@pytest.mark.fake_vllm("endless")
@pytest.mark.parametrize("text", ["[" * 20_000 + "]" * 20_000, '{"a":' * 9_000 + "0" + "}" * 9_000])
def test_a_message_that_is_nested_too_deeply_ends_the_answer_in_words(
    relay: str, fake_vllm: FakeVllm, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    caplog.set_level("INFO", "relay")
    with connected(relay) as caller:
        ask(caller)
        assert json.loads(caller.recv())["type"] == "token"
        caller.send(text)
        last = said(caller)[-1]
        assert caller.close_code == 1000
    assert last["error"] == {
        "type": "bad_request",
        "message": "A message was nested too deeply.",
    }
    assert fake_vllm.until_freed().end == "client left"
    assert "disconnected" not in caplog.text


@pytest.mark.fake_vllm("endless")
def test_a_defect_is_no_disconnect_and_closes_with_a_reason(
    relay: str,
    fake_vllm: FakeVllm,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(websocket, "_until_stopped", fail)
    caplog.set_level("INFO", "relay")
    with connected(relay) as caller:
        ask(caller)
        with pytest.raises(ConnectionClosedError) as closed:
            said(caller)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "The server has failed.")
    assert "disconnected" not in caplog.text


@pytest.mark.parametrize("is_there", [True, False])
def test_a_server_that_reports_a_disconnect_late_is_no_defect(is_there: bool) -> None:
    """The middleware reads ahead, so that uvicorn's older implementation knows it first."""

    class Gone:
        headers: ClassVar[dict[str, str]] = {}
        client_state = application_state = WebSocketState.CONNECTED

        async def accept(self) -> None: ...

        async def receive_text(self) -> str:
            return "no JSON"

        async def send_json(self, message: object) -> None:
            raise RuntimeError("Unexpected ASGI message 'websocket.send'")

        async def close(self, code: int = 1000, reason: str = "") -> None:
            if not is_there:
                raise RuntimeError("Unexpected ASGI message 'websocket.close'")

    serving = websocket.serve(
        cast("Any", Gone()), cast("Any", None), Settings("http://127.0.0.1:9/v1", "m")
    )
    with pytest.raises(RuntimeError) if is_there else nullcontext():
        asyncio.run(serving)


@pytest.mark.parametrize("origin", ["http://[", "http://evil.example", "null"])
def test_a_page_of_another_origin_is_refused(
    relay: str, origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connected(relay, origin=origin)
    assert refused.value.response.status_code == 403
    assert "Traceback" not in caplog.text


def by_closing(caller: ClientConnection) -> None:
    caller.close()


def by_being_cut_off(caller: ClientConnection) -> None:
    caller.socket.close()


@pytest.mark.fake_vllm("endless")
@pytest.mark.parametrize("leave", [by_closing, by_being_cut_off])
def test_a_disconnect_ends_the_generation(
    relay: str, fake_vllm: FakeVllm, leave: Callable[[ClientConnection], None]
) -> None:
    with connected(relay) as caller:
        ask(caller)
        assert json.loads(caller.recv())["type"] == "token"
        leave(caller)
        freed = fake_vllm.until_freed()
    assert freed.end == "client left"
    assert freed.tokens < 300


@pytest.mark.fake_vllm("no_first_token")
def test_a_disconnect_before_the_first_token_ends_the_generation(
    relay: str, fake_vllm: FakeVllm
) -> None:
    with connected(relay) as caller:
        ask(caller)
        fake_vllm.until_started()
    assert fake_vllm.until_freed().end == "client left"


@pytest.mark.fake_vllm("endless")
def test_the_deadline_of_the_first_message_holds(relay: str, fake_vllm: FakeVllm) -> None:
    with connected(relay) as caller:
        ask(caller, timeout_ms=1500)
        *tokens, last = said(caller)
    assert tokens
    assert last["type"] == "error"
    assert last["error"]["type"] == "deadline_exceeded"
    assert (
        fake_vllm.until_freed().tokens < 500
    )  # 100 tokens a second, so nothing else would end it within 20 s


@pytest.mark.fake_vllm("refuse:status=401,times=0")
def test_a_server_that_refuses_is_an_error_message(relay: str) -> None:
    with connected(relay) as caller:
        ask(caller)
        (last,) = said(caller)
    assert last["type"] == "error"


@pytest.mark.parametrize(
    "first",
    [
        "Why?",
        "{}",
        "[" * 10_000,
        json.dumps({"question": "Why?", "timeout_ms": -1}),
        f'{{"question": "Why?", "timeout_ms": {"9" * 400}}}',
        f'{{"question": "Why?", "timeout_ms": {"9" * 5000}}}',
        b"Why?",
    ],
)
def test_an_invalid_question_gets_an_error_message(
    relay: str, fake_vllm: FakeVllm, first: str | bytes
) -> None:
    with connected(relay) as caller:
        caller.send(first)
        (last,) = said(caller)
    assert last["error"]["type"] == "bad_request"
    assert not fake_vllm.requests


def test_a_client_that_sends_nothing_is_disconnected(
    relay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "FIRST_MESSAGE_WITHIN", 0.3)
    with connected(relay) as caller:
        (last,) = said(caller)
    assert last["error"]["type"] == "no_question"


@pytest.mark.parametrize("size", [70_000, 200_000])
def test_a_message_that_is_too_large_does_not_reach_the_model(
    relay: str, fake_vllm: FakeVllm, size: int
) -> None:
    with connected(relay) as caller:
        ask(caller, padding="." * size)
        (last,) = said(caller)
    assert last["error"]["type"] == "body_too_large"
    assert not fake_vllm.requests


def test_the_page_of_another_server_is_refused(relay: str) -> None:
    with pytest.raises(InvalidStatus), connected(relay, origin="http://elsewhere.example"):
        pass
    with connected(relay, origin=relay) as caller:
        ask(caller)
        assert said(caller)[-1]["type"] == "done"
