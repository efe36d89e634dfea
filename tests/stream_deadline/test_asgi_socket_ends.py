"""`DeadlineMiddleware` and the end of a WebSocket: a disconnect, an error, a server that stops."""

import asyncio
import logging
from typing import Any

import httpx2
import openai
import pytest

from stream_deadline import StreamDeadlineExceeded, no_deadline
from stream_deadline._asgi_socket_inbox import MAX_UNREAD
from stream_deadline._call_group import CallGroup, current_group
from stream_deadline.asgi import DeadlineMiddleware, Receive, Send
from tests.stream_deadline.asgi_socket_client import ACCEPT, DENIAL, Client, call, chat, connect
from tests.stream_deadline.sources import elapsed, virtually

both = pytest.mark.parametrize("websockets", ["message", "connection"])


class TestADisconnect:
    @virtually
    @both
    async def test_calls_end_at_once_and_the_application_learns_of_it(
        self, websockets: str
    ) -> None:
        found: list[Any] = []
        client = Client((1, "a"), (1.2, "unread"), leaves=2)
        kinds: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            await receive()
            await call(found)
            kinds.extend([(await receive())["type"] for _ in range(4)])
            await call(found)  # nor does a later one begin
            with no_deadline():
                await asyncio.sleep(3)
                found.append(elapsed())

        await connect(app, client, "60000", websockets=websockets)
        assert found == [(1, 2, "caller"), (2, 2, "caller"), 5]
        assert [kind.removeprefix("websocket.") for kind in kinds] == ["receive"] + [
            "disconnect"
        ] * 3

    @virtually
    @both
    async def test_an_error_of_a_call_that_was_ended_does_not_reach_the_server(
        self, websockets: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(found: list[Any]) -> None:
            raise StreamDeadlineExceeded("caller", 1, 1)

        async def waits(scope: Any, receive: Receive, send: Send) -> None:
            await chat([], lambda found: asyncio.sleep(1))(scope, receive, send)
            await work([])

        client = Client(leaves=2)
        with caplog.at_level(logging.INFO):
            await connect(waits, client, websockets=websockets)
        assert client.kinds == ["accept"]
        assert [record.levelname for record in caplog.records] == ["INFO"]
        assert "the client disconnected" in caplog.text

    @virtually
    @both
    async def test_after_the_applications_own_close_calls_go_on(self, websockets: str) -> None:
        found: list[Any] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            begun = asyncio.create_task(call(found, stop=5))
            await asyncio.sleep(0.5)
            await send({"type": "websocket.close", "code": 1000})
            await begun

        await connect(app, Client(leaves=1), "2000", websockets=websockets)
        assert found == [(0, 5, "timeout")]

    @virtually
    async def test_a_disconnect_behind_many_messages_is_seen_when_they_are_read(self) -> None:
        found: list[Any] = []
        sends = [(1.0, "x")] * (MAX_UNREAD + 5)
        client = Client(*sends, leaves=2)

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            await asyncio.sleep(3)
            assert client.asked == 1 + MAX_UNREAD
            calling = asyncio.create_task(call(found))
            await asyncio.sleep(1)
            got = [await receive() for _ in range(MAX_UNREAD + 6)]
            assert got[-1]["type"] == "websocket.disconnect"
            await calling

        await connect(app, client)
        assert found == [(3, 4, "caller")]

    @virtually
    async def test_one_large_message_is_read_ahead_and_no_more(self) -> None:
        client = Client((1, b"x" * 100_000), (1, "y"), leaves=2)

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await asyncio.sleep(3)
            assert client.asked == 2
            assert len((await receive())["bytes"]) == 100_000
            assert (await receive())["text"] == "y"

        await connect(app, client)

    @virtually
    async def test_a_receive_that_is_cancelled_loses_no_message(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            for _ in range(30):
                try:
                    async with asyncio.timeout(0.1):
                        message = await receive()
                except TimeoutError:
                    continue
                assert message["text"] == "a"
                return
            raise AssertionError

        await connect(app, Client((1, "a")))

    @virtually
    async def test_a_server_that_fails_fails_in_the_application(self) -> None:
        async def receive() -> Any:
            raise RuntimeError("the server is broken")

        raised: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            for _ in range(3):
                try:
                    await receive()
                except RuntimeError as error:
                    raised.append(str(error))

        scope = {"type": "websocket", "path": "/ws", "headers": []}
        await DeadlineMiddleware(app)(scope, receive, Client().send)
        assert raised == ["the server is broken"] * 3


class TestErrors:
    @virtually
    @both
    @pytest.mark.parametrize(
        ("error", "code", "status"),
        [
            (StreamDeadlineExceeded("deadline", 1, 1), 1013, 504),
            (ExceptionGroup("x", [StreamDeadlineExceeded("deadline", 1, 1)]), 1013, 504),
            (503, 1013, 503),
            (400, 1008, 400),
            (500, 1011, 502),
            (400.5, 1008, 400),
        ],
    )
    @pytest.mark.parametrize("accepts", [True, False])
    async def test_an_error_of_a_call_closes_the_connection_or_refuses_the_handshake(
        self, accepts: bool, error: Any, code: int, status: int, websockets: str
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            if accepts:
                await send(ACCEPT)
            if isinstance(error, Exception):
                raise error
            request = httpx2.Request("POST", "http://gpu/")
            response = httpx2.Response(int(error), request=request)
            said = {"message": "é\n" * 1000 if error == 400.5 else "bad"}
            raise openai.APIStatusError("bad", response=response, body=said)

        client = Client()
        await connect(app, client, extensions=DENIAL, websockets=websockets)
        if accepts:
            assert client.kinds == ["accept", "close"]
            assert client.last["code"] == code
            assert 10 < len(client.last["reason"].encode()) <= 123
            assert client.last["reason"].isprintable()
        else:
            assert client.heard[0][1]["status"] == status

    @virtually
    @both
    async def test_a_refused_handshake_says_when_to_come_again(self, websockets: str) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            request = httpx2.Request("POST", "http://gpu/")
            response = httpx2.Response(503, headers={"retry-after": "7"}, request=request)
            raise openai.APIStatusError("busy", response=response, body=None)

        client = Client()
        await connect(app, client, extensions=DENIAL, websockets=websockets)
        assert dict(client.heard[0][1]["headers"])[b"retry-after"] == b"7"

    @virtually
    @both
    async def test_any_other_error_reaches_the_server(self, websockets: str) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await connect(app, Client(), websockets=websockets)

    @virtually
    @both
    @pytest.mark.parametrize(("header", "status"), [("soon", 400), ("0", 504), ("-1", 504)])
    @pytest.mark.parametrize("extensions", [DENIAL, {}])
    async def test_a_handshake_with_a_bad_deadline_is_refused_before_any_work(
        self,
        extensions: Any,
        header: str,
        status: int,
        websockets: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            raise AssertionError

        client = Client()
        await connect(app, client, header, extensions=extensions, websockets=websockets)
        if extensions:
            assert client.heard[0][1]["status"] == status
        else:
            assert client.kinds == ["close"]
        assert [each.levelname for each in caplog.records] == ["WARNING"]

    @virtually
    @both
    async def test_a_server_that_stops_cancels_the_work_and_its_calls(
        self, websockets: str
    ) -> None:
        ended: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            calls = current_group()
            assert calls is not None
            calls.add(lambda: ended.append("a call in a thread"))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("the work")
                raise

        serving = asyncio.create_task(connect(app, Client(), "60000", websockets=websockets))
        await asyncio.sleep(1)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert ended == ["a call in a thread", "the work"]

    @virtually
    @both
    async def test_an_outer_group_ends_the_calls(self, websockets: str) -> None:
        found: list[Any] = []
        with CallGroup() as around:
            asyncio.get_running_loop().call_later(2, around.end)
            await connect(chat(found), Client((1, "a"), leaves=3), websockets=websockets)
        assert found == [(1, 2, "caller")]

    @pytest.mark.parametrize("websockets", ["", "messages", True, 5])
    def test_another_choice_is_refused_when_it_is_made(self, websockets: Any) -> None:
        with pytest.raises(ValueError, match="websockets must be"):
            DeadlineMiddleware(chat([]), websockets=websockets)
