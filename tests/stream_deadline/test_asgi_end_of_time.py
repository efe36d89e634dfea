"""`DeadlineMiddleware` on a virtual clock: the answer at the deadline."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest

from stream_deadline import StreamDeadlineExceeded
from stream_deadline._asgi_exchange import CLEAN_UP, GRACE, LAST_WORDS
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from tests.stream_deadline.asgi_caller import (
    EVENTS,
    JSON,
    TEXT,
    Caller,
    answers,
    ask,
    error_of,
    never,
    seen,
)
from tests.stream_deadline.sources import elapsed, virtually


class TestTheEndOfTheTime:
    @virtually
    async def test_before_the_first_byte_it_is_a_504_and_the_work_is_cancelled(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        what: dict[str, Any] = {}
        caller = Caller()
        await ask(seen(what), caller, "1000")
        assert caller.status == 504
        assert error_of(caller.said)["type"] == "deadline_exceeded"
        assert "1 s" in error_of(caller.said)["message"]
        assert caller.whole
        assert what["cancelled at"] == pytest.approx(1 + GRACE)
        assert [record.getMessage().partition(" after ")[0] for record in caplog.records] == [
            "POST /chat"
        ]

    @virtually
    @pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
    async def test_a_stream_of_events_ends_with_an_error_event(self, end: str) -> None:
        caller = Caller()
        token = f"data: x{end}".encode()
        await ask(answers(*[token] * 100, every=0.3, headers=EVENTS), caller, "1000")
        assert caller.said.startswith(token * 3 + b"event: error\ndata: ")
        assert error_of(caller.said.rpartition(b"data: ")[2])["type"] == "deadline_exceeded"
        assert caller.said.endswith(b"\n\n")
        assert caller.whole

    @virtually
    @pytest.mark.parametrize(
        "headers",
        [
            TEXT,
            JSON,
            [*EVENTS, (b"content-encoding", b"gzip")],
            [*EVENTS, (b"content-length", b"1000")],
        ],
    )
    async def test_any_other_answer_that_has_begun_is_cut_short_visibly(self, headers: Any) -> None:
        caller = Caller()
        await ask(answers(*[b"x\n\n"] * 100, every=0.3, headers=headers), caller, "1000")
        assert caller.said == b"x\n\n" * 3
        assert not caller.whole

    @virtually
    async def test_an_error_event_does_not_complete_half_an_event(self) -> None:
        caller = Caller()
        await ask(answers(b"data: x\n\n", b"data: ha", headers=EVENTS, end=False), caller, "1000")
        assert not caller.whole

    @virtually
    @pytest.mark.parametrize("group", [False, True])
    async def test_the_models_message_about_its_deadline_is_passed_on(self, group: bool) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            error = StreamDeadlineExceeded("timeout", 0.5, 0.5, 3)
            raise ExceptionGroup("tasks", [ExceptionGroup("tasks", [error])]) if group else error

        caller = Caller()
        await ask(app, caller)
        assert caller.status == 504
        assert "timeout=0.5" in error_of(caller.said)["message"]

    @virtually
    async def test_the_application_may_answer_the_time_out_itself(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await asyncio.sleep(1 + GRACE / 2)
            await answers(b"my own words")(scope, receive, send)

        caller = Caller()
        await ask(app, caller, "1000")
        assert (caller.status, caller.said, caller.whole) == (200, b"my own words", True)

    @virtually
    @pytest.mark.parametrize("headers", [TEXT, EVENTS])
    async def test_a_stream_that_fails_after_its_end_is_not_taken_for_whole(
        self, headers: Any
    ) -> None:
        """Starlette's BaseHTTPMiddleware first ends a failed stream properly, and then raises the error."""

        async def hiding(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"data: x\n\n", headers=headers)(scope, receive, send)
            raise StreamDeadlineExceeded("timeout", 0.5, 0.5, 1)

        caller = Caller()
        await ask(hiding, caller)
        assert caller.whole is (headers is EVENTS)
        assert (b"event: error" in caller.said) is (headers is EVENTS)

    @virtually
    async def test_a_stream_that_fails_for_another_reason_is_not_taken_for_whole(self) -> None:
        async def hiding(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"x", headers=TEXT)(scope, receive, send)
            raise KeyError("x")

        caller = Caller()
        with pytest.raises(KeyError):
            await ask(hiding, caller)
        assert not caller.whole

    @virtually
    async def test_messages_of_cancelled_work_are_dropped(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            try:
                await never(scope, receive, send)
            finally:
                await answers(b"oops")(scope, receive, send)

        caller = Caller()
        await ask(app, caller, "1000")
        assert caller.status == 504
        assert [message["type"] for message in caller.heard] == [
            "http.response.start",
            "http.response.body",
        ]
        assert b"oops" not in caller.said

    @virtually
    async def test_work_that_does_not_end_is_left_alone_after_a_while(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        stop = asyncio.Event()

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            while not stop.is_set():
                with suppress(asyncio.CancelledError):
                    await stop.wait()

        caller = Caller()
        await ask(app, caller, "1000")
        assert caller.status == 504
        assert elapsed() == pytest.approx(1 + GRACE + CLEAN_UP)
        assert "did not end" in caplog.text
        stop.set()

    @virtually
    async def test_a_client_that_does_not_read_does_not_delay_the_end(self) -> None:
        caller = Caller(reads=False)
        await ask(answers(b"data: x\n\n", headers=EVENTS, end=False), caller, "1000")
        assert elapsed() <= 1 + GRACE + LAST_WORDS + 0.01

    @virtually
    @pytest.mark.parametrize(
        "app", [never, answers(b"data: x\n\n", headers=EVENTS, end=False)], ids=["status", "event"]
    )
    async def test_a_disconnect_before_the_deadline_is_not_an_error(
        self, app: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ASGI 2.4 has `send` raise an OSError then."""
        caller = Caller()

        async def send(message: ASGIMessage) -> None:
            if elapsed() > 1:
                raise OSError("the socket has gone")
            await caller.send(message)

        scope: ASGIMessage = {"type": "http", "method": "GET", "path": "/", "headers": []}
        with caplog.at_level(logging.INFO):
            await DeadlineMiddleware(app, default_timeout=1)(scope, caller.receive, send)
        assert "disconnected before the error was sent" in caplog.text

    @virtually
    async def test_without_a_deadline_nothing_ends(self) -> None:
        caller = Caller()
        await ask(answers(*[b"x"] * 1000, every=1.0, headers=TEXT), caller)
        assert caller.said == b"x" * 1000
        assert caller.whole
