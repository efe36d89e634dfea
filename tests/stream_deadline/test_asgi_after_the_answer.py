"""`DeadlineMiddleware` does not end an application's work after its answer."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from stream_deadline import StreamDeadlineExceeded, bounded, deadline, no_deadline
from stream_deadline._asgi_exchange import GRACE
from stream_deadline._call_group import CallGroup, current_group
from stream_deadline._deadline import remaining
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from stream_lab.processes import serve
from tests.conftest import wait
from tests.stream_deadline.asgi_caller import EVENTS, JSON, TEXT, Caller, answers, ask, never
from tests.stream_deadline.sources import Source, elapsed, virtually

LONG = 60.0


async def asked(every: float = 1.0) -> list[int]:
    """What a model says in three seconds."""
    return [item async for item in bounded(Source(every=every, ends=3), LONG)]


def and_then(answer: Any, found: list[Any], *, fails: bool = False) -> Any:
    """An application that answers after 0.1 s, and asks a model when it has."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await answer(scope, receive, send)
        assert remaining() == float("inf")
        found.append(await asked())
        if fails:
            raise KeyError("a background task")

    return app


async def sends_a_file(scope: Any, receive: Receive, send: Send) -> None:
    """As Starlette's FileResponse does, where the server can send files itself."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
    )
    await send({"type": "http.response.pathsend", "path": "/a/file"})


async def whole(scope: Any, receive: Receive, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 202,
            "headers": [*JSON, (b"content-length", b"2")],
        }
    )
    await send({"type": "http.response.body", "body": b"{}"})


ANSWERS = {
    "in one piece": whole,
    "empty": answers(headers=TEXT),
    "a stream": answers(b"x", b"y", headers=TEXT),
    "events": answers(b"event: done\ndata: x\n\n", headers=EVENTS),
    "a file": sends_a_file,
}


class TestWorkAfterTheAnswer:
    @virtually
    @pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
    @pytest.mark.parametrize("leaves", [0.101, 0.1 + GRACE / 2, 0.3, 2.0, None])
    async def test_goes_on_after_a_disconnect_and_after_the_deadline(
        self, leaves: float | None, answer: Any
    ) -> None:
        """The answer is complete at 0.1 s, and the deadline passes at 0.5 s."""
        found: list[Any] = []
        await ask(and_then(answer, found), Caller(leaves=leaves), "500")
        assert found == [[0, 1, 2]]

    @virtually
    @pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
    @pytest.mark.parametrize("leaves", [0.101, 0.12, 2.0, None])
    async def test_background_work_from_before_the_answer_goes_on_too(
        self, leaves: float | None, answer: Any
    ) -> None:
        begun: list[asyncio.Task[list[int]]] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            begun.append(asyncio.create_task(asked()))
            await asyncio.sleep(0.1)
            await answer(scope, receive, send)

        await ask(app, Caller(leaves=leaves), "500")
        assert not begun[0].done()
        assert await begun[0] == [0, 1, 2]
        assert elapsed() == pytest.approx(3)

    @virtually
    @pytest.mark.parametrize("at", [0.099, 0.05])
    async def test_before_the_answer_is_complete_a_disconnect_ends_everything(
        self, at: float
    ) -> None:
        begun: list[asyncio.Task[list[int]]] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            begun.append(asyncio.create_task(asked()))
            await answers(b"x", b"y", every=0.05, headers=EVENTS)(scope, receive, send)

        await ask(app, Caller(leaves=at), "60000")
        with pytest.raises(StreamDeadlineExceeded) as caught:
            await begun[0]
        assert caught.value.bound == "caller"
        assert elapsed() == pytest.approx(at)

    @virtually
    async def test_before_the_answer_is_complete_the_deadline_ends_everything(self) -> None:
        begun: list[asyncio.Task[list[int]]] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            begun.append(asyncio.create_task(asked()))
            await asyncio.Event().wait()

        caller = Caller()
        await ask(app, caller, "500")
        with pytest.raises(StreamDeadlineExceeded) as caught:
            await begun[0]
        assert (caller.status, caught.value.bound) == (504, "deadline")

    @virtually
    @pytest.mark.parametrize("leaves", [0.101, 1.0, None])
    async def test_an_error_in_it_reaches_the_server(self, leaves: float | None) -> None:
        with pytest.raises(KeyError):
            await ask(and_then(whole, [], fails=True), Caller(leaves=leaves))

    @virtually
    @pytest.mark.parametrize(
        "error", [OSError("the socket has gone"), RuntimeError("shorter than Content-Length")]
    )
    async def test_a_server_that_cannot_send_the_end_does_not_end_it(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ASGI 2.4 has `send` raise an OSError when the caller has left."""
        found: list[Any] = []
        caller = Caller()

        async def send(message: ASGIMessage) -> None:
            if not message.get("more_body", True):
                raise error
            await caller.send(message)

        scope: ASGIMessage = {"type": "http", "method": "GET", "path": "/", "headers": []}
        asking = DeadlineMiddleware(and_then(ANSWERS["events"], found))(scope, caller.receive, send)
        raised: list[Exception] = []
        with caplog.at_level(logging.INFO):
            try:
                await asking
            except RuntimeError as again:
                raised.append(again)
        assert found == [[0, 1, 2]]
        # A disconnect is not an error; another error of the end is raised when the work is done.
        assert raised == ([] if isinstance(error, OSError) else [error])
        assert [record.levelname for record in caplog.records] == ["INFO"] * isinstance(
            error, OSError
        )

    @virtually
    async def test_trailers_come_after_the_end_that_is_held_back(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send(
                {"type": "http.response.start", "status": 200, "headers": TEXT, "trailers": True}
            )
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            await send({"type": "http.response.trailers", "headers": [(b"x-tokens", b"3")]})

        caller = Caller()
        await ask(app, caller)
        kinds = [message["type"].removeprefix("http.response.") for message in caller.heard]
        assert kinds == ["start", "body", "body", "trailers"]

    @virtually
    @pytest.mark.parametrize("answer", [whole, ANSWERS["events"]], ids=["one piece", "events"])
    async def test_a_server_that_stops_cancels_it_but_not_its_own_tasks(self, answer: Any) -> None:
        ended: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            calls = current_group()
            assert calls is not None
            calls.add(lambda: ended.append("a call in a thread"))
            await answer(scope, receive, send)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("the work")
                raise

        request = asyncio.create_task(ask(app, Caller()))
        await asyncio.sleep(0.5)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert ended == ["the work"]


class TestOuterDeadlines:
    @virtually
    async def test_an_outer_deadline_still_bounds_the_work(self) -> None:
        given: list[float] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            given.append(remaining())
            await whole(scope, receive, send)
            given.append(remaining())

        with deadline(5) as around:
            await ask(app, Caller(), "60000")
            assert around.remaining() == pytest.approx(5)
            assert remaining() == pytest.approx(5)
            slow = Caller()
            await ask(never, slow, "60000")
        assert given == [pytest.approx(5), float("inf")]
        assert slow.status == 504
        assert elapsed() == pytest.approx(5 + GRACE)

    @virtually
    @pytest.mark.parametrize(("at", "ended"), [(0.05, True), (0.2, False)])
    async def test_an_outer_group_ends_calls_until_the_answer_is_complete(
        self, at: float, ended: bool
    ) -> None:
        bounds: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            async def call() -> None:
                try:
                    await asked()
                    bounds.append("none")
                except StreamDeadlineExceeded as error:
                    bounds.append(error.bound)

            calling = asyncio.create_task(call())
            await asyncio.sleep(0.1)
            await whole(scope, receive, send)
            await calling

        with CallGroup() as around:
            asyncio.get_running_loop().call_later(at, around.end)
            await ask(app, Caller())
        assert bounds == (["caller"] if ended else ["none"])

    @virtually
    @pytest.mark.parametrize("leaves", [0.101, 0.1 + GRACE / 2, 0.1 + 1.5 * GRACE, 1.0])
    async def test_an_inner_middleware_does_not_hold_back_what_the_outer_one_waits_for(
        self, leaves: float
    ) -> None:
        found: list[Any] = []
        await ask(
            DeadlineMiddleware(and_then(ANSWERS["events"], found)), Caller(leaves=leaves), "500"
        )
        assert found == [[0, 1, 2]]

    @virtually
    async def test_a_middleware_is_an_inner_one_only_while_it_is_inside(self) -> None:
        """The same ASGI scope may be used a second time, as for a fallback."""

        async def hiding(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"x", headers=TEXT)(scope, receive, send)
            raise KeyError("x")

        scope: ASGIMessage = {"type": "http", "method": "GET", "path": "/", "headers": []}
        for _ in range(2):
            caller = Caller()
            with pytest.raises(KeyError):
                await DeadlineMiddleware(hiding)(scope, caller.receive, caller.send)
            assert not caller.whole


class TestNoDeadline:
    @virtually
    @pytest.mark.parametrize("leaves", [0.2, None])
    async def test_work_under_it_outlives_the_disconnect_and_the_deadline(
        self, leaves: float | None
    ) -> None:
        begun: list[asyncio.Task[list[int]]] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            with no_deadline():
                begun.append(asyncio.create_task(asked()))
            await asyncio.Event().wait()

        caller = Caller(leaves=leaves)
        await ask(app, caller, "500")
        assert caller.heard == [] if leaves else caller.status == 504
        assert await begun[0] == [0, 1, 2]

    @virtually
    async def test_work_outside_of_it_does_not(self) -> None:
        begun: list[asyncio.Task[list[int]]] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            with no_deadline():
                pass
            begun.append(asyncio.create_task(asked()))
            await asyncio.Event().wait()

        await ask(app, Caller(leaves=0.2), "500")
        with pytest.raises(StreamDeadlineExceeded):
            await begun[0]


@pytest.mark.parametrize("closes", [True, False])
def test_a_real_client_may_close_at_the_done_event(closes: bool) -> None:
    """As pages do that read Server-Sent Events; a real uvicorn, and Starlette's background task."""
    found: list[Any] = []

    async def summary() -> None:
        found.append(await asked(every=0.1))

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 42\n\n"
        yield b"event: done\ndata: {}\n\n"

    async def chat(request: Request) -> StreamingResponse:
        return StreamingResponse(
            events(), media_type="text/event-stream", background=BackgroundTask(summary)
        )

    app = Starlette(routes=[Route("/chat", chat)])
    app.add_middleware(DeadlineMiddleware, default_timeout=60)
    with (
        serve(app) as served,
        socket.create_connection(
            ("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=10
        ) as client,
    ):
        client.sendall(b"GET /chat HTTP/1.1\r\nhost: x\r\nx-timeout-ms: 200\r\n\r\n")
        got = b""
        while b"event: done" not in got:
            got += client.recv(4096)
        if closes:
            client.close()
        wait(lambda: found)
        assert found == [[0, 1, 2]]
        assert served.log == []
