"""`DeadlineMiddleware` bounds a WebSocket, on a virtual clock."""

import asyncio
import logging
from typing import Any

import pytest

from stream_deadline import StreamDeadlineExceeded, deadline
from stream_deadline._asgi_exchange import GRACE, LAST_WORDS
from stream_deadline._asgi_socket import Socket
from stream_deadline._deadline import now, remaining
from stream_deadline.asgi import DeadlineMiddleware, Receive, Send
from tests.stream_deadline.asgi_caller import error_of
from tests.stream_deadline.asgi_socket_client import ACCEPT, DENIAL, Client, call, chat, connect
from tests.stream_deadline.sources import elapsed, virtually

NEVER = float("inf")


async def budgets(found: list[Any]) -> None:
    found.append(round(remaining(), 6))


class TestABudgetForEachMessage:
    @virtually
    async def test_each_message_begins_a_new_one(self) -> None:
        found: list[Any] = []
        client = Client((1, "a"), (3, "b"), (20, "c"), leaves=30)
        await connect(chat(found), client, "1500")
        assert found == [(1, 2.5, "deadline"), (3, 4.5, "deadline"), (20, 21.5, "deadline")]
        assert client.kinds == ["accept"]

    @virtually
    @pytest.mark.parametrize(
        ("headers", "options", "budget"),
        [
            ([], {}, NEVER),
            ([], {"default_timeout": 7.0}, 7),
            ([], {"max_timeout": 3.0}, 3),
            (["5000"], {"default_timeout": 7.0}, 5),
            (["60000"], {"default_timeout": 7.0}, 7),
            (["60000"], {"default_timeout": 7.0, "max_timeout": 30.0}, 30),
        ],
    )
    async def test_its_length_is_that_of_a_request(
        self, headers: list[str], options: dict[str, Any], budget: float
    ) -> None:
        found: list[Any] = []
        client = Client((100, "a"), (200, b"b"), leaves=300)
        await connect(chat(found, budgets), client, *headers, **options)
        assert found == [budget, budget]

    @virtually
    async def test_the_first_begins_with_the_handshake(self) -> None:
        found: list[Any] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.5)
            await receive()
            await call(found)  # a server that speaks first
            await send(ACCEPT)

        await connect(app, Client(), "2000")
        assert found == [(0.5, 2, "deadline")]

    @virtually
    async def test_a_call_under_way_keeps_the_one_that_it_began_with(self) -> None:
        found: list[Any] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            async with asyncio.TaskGroup() as tasks:
                while (await receive())["type"] == "websocket.receive":
                    tasks.create_task(call(found))

        await connect(app, Client((1, "a"), (2, "b"), (2.5, "c"), leaves=10), "3000")
        assert found == [(1, 4, "deadline"), (2, 5, "deadline"), (2.5, 5.5, "deadline")]

    @virtually
    async def test_a_later_call_has_the_newest_one_in_whichever_task(self) -> None:
        """One task listens while another one answers."""
        found: list[Any] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)

            async def answer() -> None:
                await asyncio.sleep(2)
                await budgets(found)

            answering = asyncio.create_task(answer())
            assert (await receive())["text"] == "more"
            await answering

        await connect(app, Client((1.5, "more")), "3000")
        assert found == [2.5]

    @virtually
    async def test_a_call_after_it_ends_at_once_until_the_next_message(self) -> None:
        found: list[Any] = []

        async def work(found: list[Any]) -> None:
            await asyncio.sleep(5)
            await call(found)

        client = Client((1, "a"), leaves=60)
        await connect(chat(found, work), client, "3000")
        assert found == [(6, 6, "deadline")]

    @virtually
    async def test_an_idle_socket_and_other_work_are_left_alone(self) -> None:
        done: list[float] = []

        async def work(found: list[Any]) -> None:
            await asyncio.sleep(100)
            found.append(elapsed())

        client = Client((86_400, "a"), leaves=90_000)
        await connect(chat(done, work), client, "1000")
        assert done == [86_500]
        assert client.kinds == ["accept"]

    @virtually
    async def test_a_block_keeps_its_own_end_when_a_message_comes(self) -> None:
        """The socket's deadline is the sooner one first, and then the block's."""
        ended: list[float] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)

            async def block() -> None:
                try:
                    async with deadline(3, cancel=True):
                        await asyncio.Event().wait()
                except StreamDeadlineExceeded as error:
                    ended.extend([elapsed(), error.limit])

            blocked = asyncio.create_task(block())
            await receive()
            await blocked

        await connect(app, Client((1.5, "a")), "2000")
        assert ended == [pytest.approx(3), 3]

    @virtually
    async def test_an_outer_deadline_still_holds(self) -> None:
        found: list[Any] = []
        with deadline(5):
            await connect(chat(found), Client((4, "a"), (6, "b"), leaves=8), "3000")
            assert remaining() == pytest.approx(5 - 8)
        assert found == [(4, 5, "deadline"), (6, 6, "deadline")]

    @virtually
    async def test_an_inner_middleware_is_renewed_too(self) -> None:
        found: list[Any] = []
        inner = DeadlineMiddleware(chat(found), default_timeout=2)
        await connect(inner, Client((1, "a"), (10, "b"), leaves=20), default_timeout=3)
        assert found == [(1, 3, "deadline"), (10, 12, "deadline")]


class TestABudgetForTheConnection:
    @virtually
    async def test_at_its_end_the_connection_is_closed_and_the_work_cancelled(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        found: list[Any] = []
        cancelled: list[float] = []

        async def work(found: list[Any]) -> None:
            try:
                await call(found)
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(elapsed())
                raise

        client = Client((1, "a"), (3, "b"), leaves=60)
        with caplog.at_level(logging.INFO, "stream_deadline.asgi"):
            await connect(chat(found, work), client, "4000", websockets="connection")
        assert found == [(1, 4, "deadline")]
        assert cancelled == [pytest.approx(4 + GRACE)]
        assert client.kinds == ["accept", "close"]
        assert client.heard[-1][0] == pytest.approx(4 + GRACE)
        assert client.last["code"] == 1013
        assert client.last["reason"].startswith("deadline_exceeded: The connection was not closed")
        assert len(client.last["reason"].encode()) <= 123
        (line,) = [r.getMessage() for r in caplog.records if r.name == "stream_deadline.asgi"]
        assert line.startswith("WEBSOCKET /ws after ")
        assert "was not closed within the 4 s" in line

    @virtually
    async def test_a_message_does_not_extend_it(self) -> None:
        found: list[Any] = []
        client = Client((1, "a"), (3, "b"), leaves=60)
        await connect(chat(found, budgets), client, "4000", websockets="connection")
        assert found == [3, 1]
        assert client.heard[-1][0] == pytest.approx(4 + GRACE)

    @virtually
    @pytest.mark.parametrize("extensions", [DENIAL, {}, None])
    async def test_before_the_handshake_is_complete_it_is_a_504_or_a_refusal(
        self, extensions: Any
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        client = Client()
        await connect(app, client, "1000", websockets="connection", extensions=extensions)
        if extensions:
            assert client.kinds == ["http.response.start", "http.response.body"]
            assert client.heard[0][1]["status"] == 504
            assert error_of(client.last["body"])["type"] == "deadline_exceeded"
        else:
            assert client.kinds == ["close"]

    @virtually
    @pytest.mark.parametrize("closes", [True, False])
    async def test_work_after_either_close_is_left_alone(self, closes: bool) -> None:
        done: list[float] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            if closes:
                await send({"type": "websocket.close", "code": 1000})
            assert (await receive())["type"] == "websocket.disconnect"
            await asyncio.sleep(10)
            done.append(elapsed())

        client = Client(leaves=0.5)
        await connect(app, client, "1000", websockets="connection")
        assert done == [10.5]
        assert client.kinds == ["accept"] + ["close"] * closes

    @virtually
    async def test_a_client_that_does_not_read_delays_the_end_by_a_second_at_most(self) -> None:
        cancelled: list[float] = []

        async def work(found: list[float]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                found.append(elapsed())

        client = Client((0.5, "a"), reads=False)
        await connect(chat(cancelled, work), client, "1000", websockets="connection")
        assert cancelled == [pytest.approx(1 + GRACE)]
        assert elapsed() == pytest.approx(1 + GRACE + LAST_WORDS)

    @virtually
    async def test_nothing_of_the_application_follows_the_close(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(3):
                    await send({"type": "websocket.send", "text": "late"})
                await send({"type": "websocket.close", "code": 1000})

        client = Client()
        await connect(app, client, "1000", websockets="connection")
        assert client.kinds == ["accept", "close"]
        assert client.last["code"] == 1013


@pytest.mark.parametrize(
    ("budget_of", "left", "wait"),
    [
        ("connection", 5.0, 5.0 + GRACE),
        ("connection", -5.0, GRACE),
        ("connection", NEVER, None),
        ("message", 5.0, None),
    ],
)
def test_the_application_has_a_moment_after_the_end_of_its_budget(
    budget_of: Any, left: float, wait: float | None
) -> None:
    async def nothing(*_: object) -> Any: ...

    socket = Socket(nothing, {}, nothing, nothing, budget_of)
    socket._due.at = NEVER if left == NEVER else now() + left
    found = socket._timeout()
    assert found is None if wait is None else found == pytest.approx(wait, abs=0.04)
