"""`DeadlineMiddleware` on a virtual clock: the budget, disconnects, and the rest unchanged."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from stream_deadline import Deadline, deadline_headers
from stream_deadline._call_group import current_group
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from tests.stream_deadline.asgi_caller import (
    TEXT,
    Caller,
    answers,
    ask,
    error_of,
    never,
    seen,
)
from tests.stream_deadline.sources import elapsed, virtually


class TestTheBudget:
    @virtually
    async def test_the_clients_header_is_the_ambient_deadline_of_the_work(self) -> None:
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
    async def test_a_request_without_a_header_gets_the_default_and_no_request_more_than_the_maximum(
        self, said: list[str], options: dict[str, Any], given: float
    ) -> None:
        what: dict[str, Any] = {}
        await ask(seen(what, answers(b"{}")), Caller(), *said, **options)
        assert what["budget"] == pytest.approx(given)

    @virtually
    async def test_the_budget_is_passed_on_without_the_time_already_used(self) -> None:
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
    async def test_a_header_that_is_not_a_deadline_is_refused_before_any_work(
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
    def test_a_setting_that_is_not_a_number_of_seconds_is_refused_when_it_is_set(
        self, options: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            DeadlineMiddleware(never, **options)


class TestADisconnect:
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
    @pytest.mark.parametrize("error", [None, ValueError("x")])
    async def test_work_that_ends_because_of_it_is_logged(
        self, error: Exception | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            if error is not None:
                raise error

        with caplog.at_level(logging.INFO):
            await ask(app, Caller(leaves=0.75), "60000")
        (line,) = caplog.messages
        assert "the client disconnected; the work ended" in line
        assert ("ValueError" in line) == (error is not None)

    @virtually
    async def test_each_receive_after_the_disconnect_reports_the_disconnect(self) -> None:
        heard: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            heard.append((await receive())["type"])
            await answers(b"{}")(scope, receive, send)
            for _ in range(3):
                heard.append((await receive())["type"])

        await ask(app, Caller(leaves=0.5))
        assert heard == ["http.request"] + ["http.disconnect"] * 3

    @virtually
    async def test_work_after_the_answer_is_not_cancelled(self) -> None:
        done: list[float] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"{}")(scope, receive, send)
            await asyncio.sleep(100)
            done.append(elapsed())

        await ask(app, Caller(leaves=0.5), "1000")
        assert done == [100]

    @virtually
    async def test_an_error_after_the_disconnect_does_not_reach_the_server(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            try:
                await never(scope, receive, send)
            finally:
                raise OSError("the socket has gone")

        await ask(app, Caller(leaves=0.5))


class TestUnchanged:
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
    async def test_an_answer_without_a_body_is_passed_on(self, status: int, headers: Any) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body"})

        caller = Caller()
        await ask(app, caller)
        assert (caller.status, caller.said, caller.whole) == (status, b"", True)

    @virtually
    async def test_a_second_end_is_ignored(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"x", headers=TEXT)(scope, receive, send)
            await send({"type": "http.response.body", "body": b"y"})

        caller = Caller()
        await ask(app, caller)
        assert (caller.said, caller.whole) == (b"x", True)

    @virtually
    async def test_an_error_of_the_application_reaches_the_server(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await ask(app, Caller(), "1000")

    @virtually
    async def test_a_server_that_stops_cancels_the_work_and_its_threads(
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
    async def test_lifespans_pass_untouched_and_websockets_on_request(self, kind: str) -> None:
        got: list[Any] = []

        async def app(*arguments: Any) -> None:
            got.extend(arguments)

        caller = Caller()
        receive: Callable[..., Any] = caller.receive
        scope = {"type": kind}
        await DeadlineMiddleware(app, websockets=None)(scope, receive, caller.send)
        assert got == [scope, receive, caller.send]


def test_two_hooks_add_the_budget_to_requests() -> None:
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
