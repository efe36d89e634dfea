"""`DeadlineMiddleware` on a virtual clock: a model that fails, a body that is too large."""

from typing import Any

import openai
import pytest

from stream_deadline._errors import AnswerCutShort
from stream_deadline.asgi import DeadlineMiddleware, Receive, Send
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
from tests.stream_deadline.sources import virtually


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
    async def test_in_a_stream_of_events_it_is_the_last_event(self) -> None:
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
    async def test_an_answer_that_was_cut_short_counts_as_failed(self, chunks: int) -> None:
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
    async def test_another_error_before_the_first_chunk_reaches_the_server(
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
    async def test_a_client_that_has_disconnected_gets_no_message(self) -> None:
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
    async def test_a_body_up_to_the_limit_is_accepted(self) -> None:
        caller = Caller(body=[b"x" * 5, b"x" * 5])

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await receive()
            await answers(b"{}")(scope, receive, send)

        await ask(app, caller, max_body_bytes=10)
        assert (caller.status, caller.whole) == (200, True)

    @pytest.mark.parametrize("size", [0, -1])
    def test_a_limit_that_is_not_positive_is_refused_when_it_is_set(self, size: int) -> None:
        with pytest.raises(ValueError, match="max_body_bytes must be"):
            DeadlineMiddleware(never, max_body_bytes=size)


@virtually
async def test_a_server_gets_the_headers_of_an_application_that_sends_no_end() -> None:
    """It reports that, as it would without the middleware."""

    async def only_starts(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": JSON})

    caller = Caller()
    await ask(only_starts, caller, "500")
    assert [message["type"] for message in caller.heard] == ["http.response.start"]
