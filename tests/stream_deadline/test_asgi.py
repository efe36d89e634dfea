"""`DeadlineMiddleware` on a virtual clock, with nothing but ASGI messages on both sides."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import openai
import pytest

from stream_deadline import Deadline, StreamDeadlineExceeded, deadline_headers
from stream_deadline._asgi_exchange import CLEAN_UP, GRACE, LAST_WORDS
from stream_deadline._call_group import current_group
from stream_deadline._deadline import remaining
from stream_deadline._errors import AnswerCutShort
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from tests.stream_deadline.sources import elapsed, virtually

JSON = [(b"content-type", b"application/json")]
TEXT = [(b"content-type", b"text/plain")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]
DISCONNECT: ASGIMessage = {"type": "http.disconnect"}


class Caller:
    """A server with one caller, who sends a body in so many parts, hears what is answered, and leaves after so many seconds."""

    def __init__(
        self, *, leaves: float | None = None, body: list[bytes] | None = None, reads: bool = True
    ) -> None:
        self.heard: list[ASGIMessage] = []
        self.asked = 0
        self._body = [b""] if body is None else list(body)
        self._leaves = leaves
        self._reads = reads
        self._over = asyncio.Event()

    async def receive(self) -> ASGIMessage:
        self.asked += 1
        if self._body:
            part = self._body.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._body)}
        if self._leaves is None:
            await self._over.wait()
        else:
            await asyncio.sleep(self._leaves - elapsed())
        return DISCONNECT

    async def send(self, message: ASGIMessage) -> None:
        if not self._reads and self.heard:
            await asyncio.Event().wait()
        await asyncio.sleep(0)  # as a server does whose socket is full
        self.heard.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._over.set()

    @property
    def status(self) -> int:
        return int(self.heard[0]["status"])

    @property
    def said(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.heard[1:])

    @property
    def whole(self) -> bool:
        """Whether the answer came to its end."""
        last = self.heard[-1]
        return last["type"] == "http.response.body" and not last.get("more_body", False)


async def ask(app: Any, caller: Caller, *headers: str, **options: Any) -> None:
    said = [(b"x-timeout-ms", value.encode()) for value in headers]
    scope = {"type": "http", "method": "POST", "path": "/chat", "headers": said}
    await DeadlineMiddleware(app, **options)(scope, caller.receive, caller.send)


def answers(*parts: bytes, every: float = 0.0, headers: Any = JSON, end: bool = True) -> Any:
    """An application that sends these parts, one every so many seconds."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts:
            await asyncio.sleep(every)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if end:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await asyncio.Event().wait()

    return app


async def never(scope: Any, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


def seen(what: dict[str, Any], then: Any = never) -> Any:
    """An application that notes its budget, and when and how it ended."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        what["budget"] = remaining()
        try:
            await then(scope, receive, send)
        except asyncio.CancelledError:
            what["cancelled at"] = elapsed()
            raise

    return app


def error_of(body: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(body)["error"]
    return found


class TestTheBudget:
    @virtually
    async def test_what_the_caller_says_is_the_ambient_deadline_of_the_work(self) -> None:
        what: dict[str, Any] = {}
        await ask(seen(what, answers(b"{}")), Caller(), "2500")
        assert what["budget"] == pytest.approx(2.5)

    @virtually
    @pytest.mark.parametrize(
        ("said", "options", "given"),
        [
            ([], {}, float("inf")),
            ([], {"default_timeout": 7.0}, 7.0),
            ([], {"max_timeout": 3.0}, 3.0),
            ([], {"default_timeout": 7.0, "max_timeout": 3.0}, 3.0),
            ([], {"default_timeout": 7.0, "max_timeout": None}, 7.0),
            (["5000"], {"default_timeout": 7.0}, 5.0),
            (["60000"], {"default_timeout": 7.0}, 7.0),
            (["60000"], {"default_timeout": 7.0, "max_timeout": "default"}, 7.0),
            (["60000"], {"default_timeout": 7.0, "max_timeout": 30.0}, 30.0),
            (["60000"], {"default_timeout": 7.0, "max_timeout": None}, 60.0),
            (["60000"], {"default_timeout": 7.0, "max_timeout": 3.0}, 3.0),
            (["60000"], {"max_timeout": 3.0}, 3.0),
            (["99999999"], {}, 99999.999),
            (["99999999"], {"max_timeout": None}, 99999.999),
        ],
    )
    async def test_who_does_not_say_has_the_default_and_nobody_more_unless_the_maximum_says_so(
        self, said: list[str], options: dict[str, Any], given: float
    ) -> None:
        what: dict[str, Any] = {}
        await ask(seen(what, answers(b"{}")), Caller(), *said, **options)
        assert what["budget"] == pytest.approx(given)

    @virtually
    async def test_it_is_passed_on_less_what_has_passed(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.6)
            await answers(json.dumps(deadline_headers()).encode())(scope, receive, send)

        caller = Caller()
        await ask(app, caller, "1000")
        assert json.loads(caller.said) == {"X-Timeout-Ms": "400"}
        assert deadline_headers() == {}

    @virtually
    @pytest.mark.parametrize(
        "said",
        [
            ["abc"],
            [""],
            ["1.5"],
            ["nan"],
            ["inf"],
            ["1e3"],
            ["999999999"],
            ["+5"],
            ["5", "6"],
            ["5 6"],
        ],
    )
    async def test_what_is_no_deadline_is_refused_before_any_work(
        self, said: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        what: dict[str, Any] = {}
        caller = Caller()
        with caplog.at_level(logging.INFO):
            await ask(seen(what), caller, *said)
        assert caller.status == 400
        assert error_of(caller.said)["type"] == "bad_deadline"
        assert "milliseconds" in error_of(caller.said)["message"]
        assert what == {}
        assert len(caplog.records) == 1

    @virtually
    @pytest.mark.parametrize("said", ["0", "-1", "-99999999"])
    async def test_a_deadline_that_has_passed_is_a_504_before_any_work(self, said: str) -> None:
        what: dict[str, Any] = {}
        caller = Caller()
        await ask(seen(what), caller, said)
        assert caller.status == 504
        assert error_of(caller.said)["type"] == "deadline_exceeded"
        assert what == {}

    @pytest.mark.parametrize(
        "options",
        [
            {"default_timeout": 0},
            {"default_timeout": -1.0},
            {"max_timeout": float("nan")},
            {"max_timeout": "5"},
        ],
    )
    def test_what_is_no_number_of_seconds_is_refused_where_it_is_set(
        self, options: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            DeadlineMiddleware(never, **options)


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
    async def test_half_an_event_is_not_followed_by_one_that_would_complete_it(self) -> None:
        caller = Caller()
        await ask(answers(b"data: x\n\n", b"data: ha", headers=EVENTS, end=False), caller, "1000")
        assert not caller.whole

    @virtually
    @pytest.mark.parametrize("group", [False, True])
    async def test_what_the_model_says_of_its_deadline_is_passed_on(self, group: bool) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            error = StreamDeadlineExceeded("timeout", 0.5, 0.5, 3)
            raise ExceptionGroup("tasks", [ExceptionGroup("tasks", [error])]) if group else error

        caller = Caller()
        await ask(app, caller)
        assert caller.status == 504
        assert "timeout=0.5" in error_of(caller.said)["message"]

    @virtually
    async def test_the_work_may_say_itself_what_happened(self) -> None:
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
        """Starlette's BaseHTTPMiddleware ends a stream properly when the generator under it fails, and raises the error then."""

        async def hiding(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"data: x\n\n", headers=headers)(scope, receive, send)
            raise StreamDeadlineExceeded("timeout", 0.5, 0.5, 1)

        caller = Caller()
        await ask(hiding, caller)
        assert caller.whole is (headers is EVENTS)
        assert (b"event: error" in caller.said) is (headers is EVENTS)

    @virtually
    async def test_nor_is_one_that_fails_otherwise(self) -> None:
        async def hiding(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"x", headers=TEXT)(scope, receive, send)
            raise KeyError("x")

        caller = Caller()
        with pytest.raises(KeyError):
            await ask(hiding, caller)
        assert not caller.whole

    @virtually
    async def test_what_cancelled_work_says_is_not_heard(self) -> None:
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
    async def test_a_caller_who_does_not_read_does_not_hold_up_the_end(self) -> None:
        caller = Caller(reads=False)
        await ask(answers(b"data: x\n\n", headers=EVENTS, end=False), caller, "1000")
        assert elapsed() <= 1 + GRACE + LAST_WORDS + 0.01

    @virtually
    @pytest.mark.parametrize(
        "app", [never, answers(b"data: x\n\n", headers=EVENTS, end=False)], ids=["status", "event"]
    )
    async def test_nor_is_a_caller_who_has_gone_by_then_an_error(
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


def broken() -> Exception:
    return openai.APIError("EngineCore died", None, body=None)  # type: ignore[arg-type]


class TestAModelThatFails:
    @virtually
    @pytest.mark.parametrize("began", [False, True])
    @pytest.mark.parametrize("headers", [JSON, TEXT, EVENTS])
    async def test_before_the_first_chunk_it_is_a_status_even_of_a_stream(
        self, headers: Any, began: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if began:
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            raise ExceptionGroup("tasks", [broken()])

        caller = Caller()
        await ask(app, caller)
        assert (caller.status, caller.whole) == (502, True)
        assert error_of(caller.said)["type"] == "model_failed"
        assert len(caplog.records) == 1
        assert "EngineCore died" in caplog.text
        assert b"EngineCore" not in caller.said

    @virtually
    async def test_in_a_stream_of_events_it_is_the_last_one(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            raise broken()

        caller = Caller()
        await ask(app, caller)
        assert caller.whole
        assert error_of(caller.said.partition(b"event: error\ndata: ")[2])["type"] == "model_failed"

    @virtually
    @pytest.mark.parametrize("chunks", [0, 1])
    async def test_a_half_that_the_model_ended_in_order_is_one_that_failed(
        self, chunks: int
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
            for _ in range(chunks):
                await send(
                    {"type": "http.response.body", "body": b"data: x\n\n", "more_body": True}
                )
            raise AnswerCutShort(0.5, chunks)

        caller = Caller()
        await ask(app, caller)
        assert (caller.status, caller.whole) == (200 if chunks else 502, True)
        told = error_of(
            caller.said.partition(b"event: error\ndata: ")[2] if chunks else caller.said
        )
        assert told["type"] == "model_failed"
        assert "without a finish reason" in told["message"]

    @virtually
    async def test_any_other_answer_that_has_begun_is_cut(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": TEXT})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise broken()

        caller = Caller()
        await ask(app, caller)
        assert not caller.whole
        assert "is cut" in caplog.text

    @virtually
    async def test_a_stream_that_fails_before_its_first_chunk_is_not_taken_for_an_empty_one(
        self,
    ) -> None:
        """Starlette's BaseHTTPMiddleware ends that, too, and raises the error only then."""

        async def hiding(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": TEXT})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise broken()

        caller = Caller()
        await ask(hiding, caller)
        assert caller.status == 502

    @virtually
    @pytest.mark.parametrize("error", [KeyError("x"), TimeoutError()])
    async def test_what_else_goes_wrong_before_the_first_chunk_is_the_servers_affair(
        self, error: Exception
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": TEXT})
            raise error

        caller = Caller()
        with pytest.raises(type(error)):
            await ask(app, caller)
        assert caller.heard == []  # so that the server can answer 500

    @virtually
    async def test_a_caller_who_has_left_is_told_nothing(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            try:
                await never(scope, receive, send)
            finally:
                raise broken()

        caller = Caller(leaves=0.5)
        await ask(app, caller)
        assert caller.heard == []


class TestABodyThatIsTooLarge:
    @virtually
    @pytest.mark.parametrize("body", [[b"x" * 11], [b"x" * 4] * 3])
    async def test_it_is_refused_and_not_read_to_its_end(
        self, body: list[bytes], caplog: pytest.LogCaptureFixture
    ) -> None:
        what: dict[str, Any] = {}

        async def reads(scope: Any, receive: Receive, send: Send) -> None:
            while True:
                await receive()

        caller = Caller(body=[*body, b"more", b"more"])
        await ask(seen(what, reads), caller, max_body_bytes=10)
        assert caller.status == 413
        assert (b"connection", b"close") in caller.heard[0]["headers"]
        assert "at most 10 bytes" in error_of(caller.said)["message"]
        assert caller.asked == len(body)
        assert "cancelled at" in what
        assert len(caplog.records) == 1

    @virtually
    async def test_up_to_that_it_is_taken(self) -> None:
        caller = Caller(body=[b"x" * 5, b"x" * 5])

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await receive()
            await answers(b"{}")(scope, receive, send)

        await ask(app, caller, max_body_bytes=10)
        assert (caller.status, caller.whole) == (200, True)

    @pytest.mark.parametrize("size", [0, -1])
    def test_a_size_that_is_none_is_refused_where_it_is_set(self, size: int) -> None:
        with pytest.raises(ValueError, match="max_body_bytes must be"):
            DeadlineMiddleware(never, max_body_bytes=size)


class TestACallerWhoLeaves:
    @virtually
    @pytest.mark.parametrize(
        "then",
        [never, answers(*[b"x"] * 100, every=0.1, headers=TEXT)],
        ids=["silent", "streaming"],
    )
    async def test_the_work_is_cancelled_at_once(
        self, then: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        what: dict[str, Any] = {}
        with caplog.at_level(logging.INFO):
            await ask(seen(what, then), Caller(leaves=0.75), "60000")
        assert what["cancelled at"] == pytest.approx(0.75)
        assert [record.levelname for record in caplog.records] == ["INFO"]
        assert "disconnected" in caplog.text

    @virtually
    async def test_who_listens_is_told_again_and_again(self) -> None:
        heard: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            heard.append((await receive())["type"])
            await answers(b"{}")(scope, receive, send)
            for _ in range(3):
                heard.append((await receive())["type"])

        await ask(app, Caller(leaves=0.5))
        assert heard == ["http.request"] + ["http.disconnect"] * 3

    @virtually
    async def test_what_runs_after_the_answer_is_left_alone(self) -> None:
        done: list[float] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"{}")(scope, receive, send)
            await asyncio.sleep(100)
            done.append(elapsed())

        await ask(app, Caller(leaves=0.5), "1000")
        assert done == [100]

    @virtually
    async def test_what_goes_wrong_after_that_is_no_error_of_the_server(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            try:
                await never(scope, receive, send)
            finally:
                raise OSError("the socket has gone")

        await ask(app, Caller(leaves=0.5))


class TestWhatStaysAsItWas:
    @virtually
    async def test_a_body_is_read_one_part_ahead_and_comes_whole(self) -> None:
        parts = [b"a", b"b", b"c", b"d"]
        caller = Caller(body=parts)
        asked: list[int] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            body, more = b"", True
            while more:
                await asyncio.sleep(1)
                asked.append(caller.asked)
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            await answers(body)(scope, receive, send)

        await ask(app, caller)
        assert caller.said == b"abcd"
        assert asked == [1, 2, 3, 5]  # after the last part it waits for the caller to leave

    @virtually
    async def test_the_status_waits_for_the_first_chunk_and_no_longer(self) -> None:
        heard: list[tuple[float, str]] = []
        caller = Caller()

        async def send(message: ASGIMessage) -> None:
            heard.append((elapsed(), message["type"].removeprefix("http.response.")))
            await caller.send(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await DeadlineMiddleware(answers(b"a", b"b", every=1, headers=TEXT))(
            scope, caller.receive, send
        )
        assert heard == [(1, "start"), (1, "body"), (2, "body"), (2, "body")]
        assert caller.whole

    @virtually
    async def test_an_empty_chunk_sends_the_status_at_once(self) -> None:
        """For an application that wants its headers out before it has anything to say."""
        caller = Caller()
        await ask(answers(b"", headers=TEXT, end=False), caller, "500")
        assert [message["type"] for message in caller.heard] == [
            "http.response.start",
            "http.response.body",
        ]

    @virtually
    @pytest.mark.parametrize(
        ("status", "headers"), [(200, TEXT), (204, []), (200, [(b"content-length", b"0")])]
    )
    async def test_an_answer_without_a_body_is_one(self, status: int, headers: Any) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body"})

        caller = Caller()
        await ask(app, caller)
        assert (caller.status, caller.said, caller.whole) == (status, b"", True)

    @virtually
    async def test_a_second_end_is_not_heard(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"x", headers=TEXT)(scope, receive, send)
            await send({"type": "http.response.body", "body": b"y"})

        caller = Caller()
        await ask(app, caller)
        assert (caller.said, caller.whole) == (b"x", True)

    @virtually
    async def test_an_error_of_the_application_is_the_servers_affair(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await ask(app, Caller(), "1000")

    @virtually
    async def test_a_server_that_is_stopped_cancels_the_work_and_what_it_does_in_threads(
        self,
    ) -> None:
        what: dict[str, Any] = {}
        ended: list[float] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            calls = current_group()
            assert calls is not None
            calls.add(lambda: ended.append(elapsed()))
            await seen(what)(scope, receive, send)

        request = asyncio.create_task(ask(app, Caller()))
        await asyncio.sleep(0.5)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert what["cancelled at"] == pytest.approx(0.5)
        assert ended == [pytest.approx(0.5)]

    @virtually
    @pytest.mark.parametrize("kind", ["websocket", "lifespan"])
    async def test_what_is_no_request_passes_untouched(self, kind: str) -> None:
        got: list[Any] = []

        async def app(*arguments: Any) -> None:
            got.extend(arguments)

        caller = Caller()
        receive: Callable[..., Any] = caller.receive
        scope = {"type": kind}
        await DeadlineMiddleware(app)(scope, receive, caller.send)
        assert got == [scope, receive, caller.send]


def test_two_hooks_put_the_budget_on_requests() -> None:
    import httpx2

    from stream_deadline import deadline, propagate_deadline, propagate_deadline_async

    request = httpx2.Request("GET", "http://x/")
    propagate_deadline(request)
    assert "x-timeout-ms" not in request.headers
    with deadline(30):
        propagate_deadline(request)
        assert 29_000 < int(request.headers["x-timeout-ms"]) <= 30_000
    other = httpx2.Request("GET", "http://x/")
    with deadline(-1):
        asyncio.run(propagate_deadline_async(other))
    assert other.headers["x-timeout-ms"] == "0"
    assert Deadline.after(None).remaining() == float("inf")
