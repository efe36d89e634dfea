"""One request between the server and the application, on a virtual clock."""

import asyncio
import logging
from typing import Any

import httpx2
import openai
import pytest
from starlette.middleware.cors import CORSMiddleware

from stream_deadline import StreamDeadlineExceeded, deadline
from stream_deadline._asgi_exchange import (
    _find_cors,
    as_json,
    cancel,
    send_own,
)
from stream_deadline._asgi_log import RequestLog
from stream_deadline._call_group import CallGroup, current_group
from stream_deadline._error_response import ErrorResponse
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


def scope(**more: Any) -> ASGIMessage:
    return {"type": "http", "method": "POST", "path": "/chat", "headers": [], **more}


def busy(retry_after: str | None = None) -> openai.APIStatusError:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    request = httpx2.Request("POST", "http://gpu/")
    response = httpx2.Response(503, headers=headers, request=request)
    return openai.APIStatusError("busy", response=response, body=None)


def raises(error: BaseException, *, start: Any = None) -> Any:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if start is not None:
            await send({"type": "http.response.start", "status": 200, "headers": start})
        raise error

    return app


CORS = [(b"Access-Control-Allow-Origin", b"https://ui.example"), (b"Vary", b"Origin")]
LOWER = [(name.lower(), value) for name, value in CORS]


@virtually
@pytest.mark.parametrize(
    ("app", "options", "status", "more"),
    [
        (never, {}, 504, []),
        (raises(busy()), {}, 503, []),
        (raises(busy("7")), {}, 503, [(b"retry-after", b"7")]),
        (never, {"max_body_bytes": 2}, 413, [(b"connection", b"close")]),
        (raises(busy(), start=[*JSON, (b"x-a", b"b"), (b"vary", b"x")]), {}, 503, []),
        (raises(busy(), start=[*JSON, *CORS, (b"x-a", b"b")]), {}, 503, LOWER),
    ],
)
async def test_the_headers_of_an_answer_in_place_of_the_applications(
    app: Any, options: dict[str, Any], status: int, more: list[tuple[bytes, bytes]]
) -> None:
    caller = Caller(body=[b"abc"])
    await ask(app, caller, "1000", **options)
    start, last = caller.heard
    assert start == {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(last["body"])).encode()),
            *more,
        ],
    }
    assert last["type"] == "http.response.body"
    assert caller.whole
    assert set(error_of(last["body"])) == {"type", "message"}


def test_the_body_of_an_answer_has_a_word_for_programs_and_a_sentence_for_people() -> None:
    response = ErrorResponse(503, "model_busy", "Büsy.", "a secret cause")
    assert error_of(as_json(response)) == {"type": "model_busy", "message": "Büsy."}
    assert as_json(response).isascii()


# Inside each other


@virtually
@pytest.mark.parametrize("path", ["/", "/x"])
async def test_a_scope_is_afterwards_as_it_was(path: str) -> None:
    seen: list[bool] = []
    given = scope(path=path)
    before = dict(given)

    async def app(inside: Any, receive: Receive, send: Send) -> None:
        seen.append(len(inside) > len(before))
        await answers(b"x")(inside, receive, send)

    caller = Caller()
    await DeadlineMiddleware(app)(given, caller.receive, caller.send)
    assert seen == [True]
    assert given == before


@virtually
async def test_only_the_outer_one_of_several_middlewares_holds_the_end_back() -> None:
    ends: list[float] = []

    async def outside(scope: Any, receive: Receive, send: Send) -> None:
        async def noted(message: ASGIMessage) -> None:
            if not message.get("more_body", True):
                ends.append(elapsed())
            await send(message)

        async def waits(scope: Any, receive: Receive, send: Send) -> None:
            await answers(b"x", headers=TEXT)(scope, receive, send)
            await asyncio.sleep(10)

        with pytest.raises(KeyError):  # a fallback: the first one fails, and a second one answers
            await DeadlineMiddleware(raises(KeyError("x")))(scope, receive, noted)
        await DeadlineMiddleware(waits)(scope, receive, noted)

    caller = Caller()
    heard: list[float] = []

    async def send(message: ASGIMessage) -> None:
        heard.append(elapsed())
        await caller.send(message)

    await DeadlineMiddleware(outside)(scope(), caller.receive, send)
    assert ends == [0]
    assert heard == [0, 0, pytest.approx(0.05)]
    assert caller.whole


@virtually
async def test_an_outer_group_has_the_calls_of_a_request_until_it_is_over() -> None:
    seen: list[bool] = []
    with CallGroup() as around:

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            seen.append(around.has_calls)
            await answers(b"x")(scope, receive, send)

        await ask(app, Caller())
        assert seen == [True]
        assert not around.has_calls


def notes_its_calls(ended: list[float], *parts: Any) -> Any:
    """An application with a call that notes its end, which does these things in turn."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        calls = current_group()
        assert calls is not None
        calls.add(lambda: ended.append(elapsed()))
        for part in parts:
            await part(scope, receive, send)

    return app


async def waits_for_the_disconnect(scope: Any, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def sleeps(scope: Any, receive: Receive, send: Send) -> None:
    await asyncio.sleep(1)


@virtually
@pytest.mark.parametrize(
    ("parts", "ends"),
    [
        ([waits_for_the_disconnect], [0.5]),
        ([never], [0.5]),
        ([answers(b"x"), waits_for_the_disconnect], []),
        ([answers(b"x"), sleeps], []),
        ([answers(b"x", headers=TEXT), sleeps], []),
    ],
)
async def test_a_disconnect_ends_the_calls_of_a_request_that_is_not_answered(
    parts: list[Any], ends: list[float]
) -> None:
    ended: list[float] = []
    await ask(notes_its_calls(ended, *parts), Caller(leaves=0.5))
    assert set(ended) == set(ends)  # how often does not matter


@virtually
@pytest.mark.parametrize(
    ("parts", "ends"),
    [([sleeps], [0.5]), ([answers(b"x"), sleeps], []), ([sleeps, answers(b"x")], [0.5])],
)
async def test_an_outer_group_ends_the_calls_of_a_request_that_is_not_answered(
    parts: list[Any], ends: list[float]
) -> None:
    ended: list[float] = []
    with CallGroup() as around:
        asyncio.get_running_loop().call_later(0.5, around.end)
        await ask(notes_its_calls(ended, *parts), Caller())
    assert ended == ends


@virtually
@pytest.mark.parametrize("parts", [[never], [answers(b"x", headers=TEXT), never]])
async def test_a_server_that_stops_ends_the_calls_of_a_request_that_is_not_answered(
    parts: list[Any],
) -> None:
    ended: list[float] = []
    asking = asyncio.create_task(ask(notes_its_calls(ended, *parts), Caller()))
    await asyncio.sleep(0.5)
    asking.cancel()
    await asyncio.wait((asking,))
    assert asking.cancelled()
    assert ended == ([0.5] if parts == [never] else [])


@virtually
async def test_nothing_is_passed_on_after_a_disconnect() -> None:
    heard: list[ASGIMessage] = []

    async def send(message: ASGIMessage) -> None:
        heard.append(message)

    app = notes_its_calls([], waits_for_the_disconnect, answers(b"x", b"y"))
    await DeadlineMiddleware(app)(scope(), Caller(leaves=0.5).receive, send)
    assert heard == []


@virtually
async def test_nothing_is_passed_on_of_an_application_whose_server_stops() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await never(scope, receive, send)
        finally:
            await answers(b"x", b"y")(scope, receive, send)

    caller = Caller()
    asking = asyncio.create_task(ask(app, caller))
    await asyncio.sleep(0.5)
    asking.cancel()
    await asyncio.wait((asking,))
    assert caller.heard == []


@virtually
@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("too short")])
async def test_work_after_an_end_that_the_server_cannot_send_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await answers(b"x", headers=TEXT)(scope, receive, send)
        await asyncio.sleep(10)
        done.append(elapsed())

    async def send(message: ASGIMessage) -> None:
        if not message.get("more_body", True):
            raise error

    with caplog.at_level(logging.INFO):
        asking = asyncio.create_task(DeadlineMiddleware(app)(scope(), Caller().receive, send))
        await asyncio.wait((asking,))
    assert done == [10]
    is_disconnect = isinstance(error, OSError)
    assert asking.exception() is (None if is_disconnect else error)
    assert [each.levelname for each in caplog.records] == ["INFO"] * is_disconnect


@virtually
@pytest.mark.parametrize(
    ("app", "says"),
    [
        (never, "the client disconnected; the work was cancelled"),
        (waits_for_the_disconnect, "the client disconnected; the work ended"),
    ],
)
async def test_a_disconnect_is_one_line_of_the_log(
    app: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caller = Caller(leaves=0.5)
    with caplog.at_level(logging.INFO):
        await ask(app, caller)
    [record] = caplog.records
    assert (record.levelname, caller.heard) == ("INFO", [])
    assert record.getMessage().endswith(f"s: {says}")
    assert elapsed() == 0.5


# The end of the time


@virtually
@pytest.mark.parametrize(("outer", "says"), [(-3.0, "0 s"), (0.5, "0.5 s"), (5.0, "2 s")])
async def test_an_outer_deadline_bounds_a_request_also_if_it_has_passed(
    outer: float, says: str
) -> None:
    caller = Caller()
    with deadline(outer):
        await ask(never, caller, "2000")
    assert caller.status == 504
    assert f"within the {says} that" in error_of(caller.said)["message"]
    assert elapsed() == pytest.approx(min(max(outer, 0), 2) + 0.05)


@virtually
async def test_late_work_is_cancelled_before_the_client_has_read_of_it() -> None:
    what: dict[str, Any] = {}
    app = seen(what, answers(b"data: x\n\n", headers=EVENTS, end=False))
    await ask(app, Caller(reads=False), "1000")
    assert what["cancelled at"] == pytest.approx(1 + 0.05)
    assert elapsed() == pytest.approx(1 + 0.05 + 1)


@virtually
@pytest.mark.parametrize(
    ("error", "status"), [(None, [200]), (KeyError("x"), []), (asyncio.CancelledError(), [])]
)
async def test_the_server_learns_how_an_application_without_an_answer_ended(
    error: BaseException | None, status: list[int]
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        if error is not None:
            raise error

    caller = Caller()
    asking = asyncio.create_task(ask(app, caller, "1000"))
    await asyncio.wait((asking,))
    assert [message["status"] for message in caller.heard] == status
    assert asking.cancelled() is isinstance(error, asyncio.CancelledError)
    if not asking.cancelled():
        assert asking.exception() is error


@virtually
@pytest.mark.parametrize("fails", [False, True])
async def test_the_end_of_a_stream_waits_for_a_moment_and_no_longer_than_the_work(
    fails: bool,
) -> None:
    ends: list[float] = []
    caller = Caller()

    async def send(message: ASGIMessage) -> None:
        if not message.get("more_body", True):
            ends.append(elapsed())
        await caller.send(message)

    for seconds in (0.0, 0.025, 10.0):

        async def app(scope: Any, receive: Receive, send: Send, seconds: float = seconds) -> None:
            await answers(b"x", headers=TEXT)(scope, receive, send)
            await asyncio.sleep(seconds)
            if fails:
                raise KeyError("x")

        began = elapsed()
        asking = asyncio.create_task(DeadlineMiddleware(app)(scope(), Caller().receive, send))
        await asyncio.wait((asking,))
        assert isinstance(asking.exception(), KeyError) is fails
        ends = [round(each - began, 6) for each in ends]
        waited = min(seconds, 0.05)
        assert ends == ([] if fails and seconds < 0.05 else [waited])
        ends.clear()


# What is logged


@virtually
@pytest.mark.parametrize(
    ("app", "line"),
    [
        (never, "The work was not done within the 1 s that the client allowed."),
        (
            answers(b"x", headers=TEXT, end=False),
            "The work was not done within the 1 s that the client allowed."
            " The answer had begun and is cut.",
        ),
        (
            answers(b"data: x\n\n", headers=EVENTS, end=False),
            "The work was not done within the 1 s that the client allowed.",
        ),
    ],
    ids=["silent", "a text", "events"],
)
async def test_late_work_is_one_line_of_the_log(
    app: Any, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await ask(app, Caller(), "1000")
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().partition(" s: ")[2] == line


@virtually
async def test_a_request_without_a_name_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    caller = Caller()
    given: ASGIMessage = {"type": "http", "headers": []}
    await DeadlineMiddleware(never, default_timeout=1)(given, caller.receive, caller.send)
    assert caplog.messages[0].startswith("  after ")


LOG = RequestLog("GET", "/")


@virtually
@pytest.mark.parametrize(
    ("error", "level"), [(None, None), (OSError("gone"), "INFO"), (TimeoutError(), "WARNING")]
)
async def test_a_message_that_could_not_be_sent_is_logged_and_no_error(
    error: Exception | None, level: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def sends() -> None:
        if isinstance(error, TimeoutError):
            await asyncio.Event().wait()
        if error is not None:
            raise error

    with caplog.at_level(logging.INFO):
        await send_own(sends(), LOG)
    assert [each.levelname for each in caplog.records] == ([] if level is None else [level])
    assert elapsed() == (1 if level == "WARNING" else 0)


@virtually
@pytest.mark.parametrize(
    ("ends", "level", "says"),
    [
        ("cancelled", None, ""),
        ("returns", None, ""),
        (StreamDeadlineExceeded("timeout", 1, 1), None, ""),
        (KeyError("x"), "INFO", "the cancelled work ended with KeyError"),
        ("not", "ERROR", "did not end within 5 s"),
    ],
)
async def test_cancelled_work_is_logged_if_it_ends_in_another_way_or_not_at_all(
    ends: Any, level: str | None, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    stop = asyncio.Event()

    async def works() -> None:
        try:
            await stop.wait()
        except asyncio.CancelledError:
            if ends == "not":
                await stop.wait()
            elif isinstance(ends, Exception):
                raise ends from None
            elif ends == "cancelled":
                raise

    work = asyncio.ensure_future(works())
    await asyncio.sleep(0)
    with caplog.at_level(logging.INFO):
        await cancel(work, LOG)
    assert [each.levelname for each in caplog.records] == ([] if level is None else [level])
    assert says in caplog.text
    assert elapsed() == (5 if ends == "not" else 0)
    stop.set()
    await asyncio.wait((work,))


# CORS


class Ours(CORSMiddleware):
    """As people make it, to add something of their own."""


class Wraps:
    """Middleware that shows what it wraps."""

    def __init__(self, app: Any, name: str = "app") -> None:
        setattr(self, name, app)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await never(scope, receive, send)


Same = type("CORSMiddleware", (), {"__module__": "another"})
Other = type("Other", (), {"__module__": "starlette.middleware.cors"})


@pytest.mark.parametrize("kind", [CORSMiddleware, Ours])
@pytest.mark.parametrize("depth", [0, 1, 2, 50])
@pytest.mark.parametrize("name", ["app", "middleware_stack"])
def test_cors_middleware_is_found_under_what_shows_it(kind: Any, depth: int, name: str) -> None:
    app = cors = kind(never)
    for _ in range(depth):
        app = Wraps(app, name)
    assert _find_cors(app) is cors


@pytest.mark.parametrize("app", [never, Wraps(never), Wraps(None), Same(), Other(), None])
def test_there_may_be_no_cors_middleware_to_find(app: Any) -> None:
    assert _find_cors(app) is None


def test_the_search_for_cors_middleware_ends_where_an_object_wraps_itself() -> None:
    app = Wraps(None)
    app.app = app  # type: ignore[attr-defined]
    assert _find_cors(app) is None


@virtually
async def test_cors_middleware_inside_answers_as_it_would_and_is_left_as_it_was() -> None:
    inside = CORSMiddleware(never, allow_origins=["https://ui.example"])
    caller = Caller()
    given = scope(headers=[(b"origin", b"https://ui.example"), (b"x-timeout-ms", b"1000")])
    await DeadlineMiddleware(Wraps(inside))(given, caller.receive, caller.send)
    headers = dict(caller.heard[0]["headers"])
    assert headers[b"access-control-allow-origin"] == b"https://ui.example"
    assert (caller.status, inside.app) == (504, never)
