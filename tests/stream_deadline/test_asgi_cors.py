"""A page of another origin can read the middleware's answers if the application's are readable."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
import pytest
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route, Router

from stream_deadline import StreamDeadlineExceeded
from stream_deadline.asgi import DeadlineMiddleware, Receive, Send
from stream_lab.processes import Browser, Serving, serve
from tests.conftest import needs
from tests.stream_deadline.asgi_caller import EVENTS, Caller, ask, error_of
from tests.stream_deadline.sources import virtually

UI = "https://ui.example"
OTHER = "https://other.example"
STAR = {"allow_origins": ["*"], "allow_methods": ["*"], "allow_headers": ["*"]}
ONE = {
    "allow_origins": [UI],
    "allow_credentials": True,
    "allow_headers": ["x-timeout-ms"],
    "expose_headers": ["retry-after"],
}


class OurCors(CORSMiddleware):
    """As people make it, to add something of their own."""


def busy() -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://gpu/")
    response = httpx2.Response(503, headers={"retry-after": "7"}, request=request)
    return openai.APIStatusError("busy", response=response, body=None)


def service() -> FastAPI:
    app = FastAPI()

    @app.get("/fast")
    async def fast() -> int:
        return 1

    @app.get("/slow")
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @app.get("/down")
    async def down() -> int:
        raise openai.APIConnectionError(request=httpx2.Request("POST", "http://gpu/"))

    @app.get("/busy")
    async def is_busy() -> int:
        raise busy()

    @app.get("/events")
    async def events(whole: int = 0) -> StreamingResponse:
        async def each() -> AsyncIterator[str]:
            yield "data: 42\n\n"
            if not whole:
                raise StreamDeadlineExceeded("timeout", 0.5, 0.5, 1)
            yield "event: done\ndata: {}\n\n"

        return StreamingResponse(each(), media_type="text/event-stream")

    @app.get("/events/none")
    async def no_events() -> StreamingResponse:
        async def each() -> AsyncIterator[str]:
            raise busy()
            yield ""

        return StreamingResponse(each(), media_type="text/event-stream")

    return app


ours: dict[str, Any] = {"default_timeout": 0.3, "max_body_bytes": 1000}


def outside(**cors: Any) -> Any:
    """As the documentation says."""
    app = service()
    app.add_middleware(DeadlineMiddleware, **ours)
    app.add_middleware(CORSMiddleware, **cors)
    return app


def inside(**cors: Any) -> Any:
    app = service()
    app.add_middleware(CORSMiddleware, **cors)
    app.add_middleware(DeadlineMiddleware, **ours)
    return app


def deep_inside(**cors: Any) -> Any:
    app = service()
    app.add_middleware(OurCors, **cors)
    app.add_middleware(GZipMiddleware)
    app.add_middleware(DeadlineMiddleware, **ours)
    return app


PLACES = [outside, inside, deep_inside]
ANSWERS: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "well": (200, "GET", "/fast", {}),
    "late": (504, "GET", "/slow", {}),
    "too late": (504, "GET", "/fast", {"headers": {"x-timeout-ms": "0"}}),
    "bad header": (400, "GET", "/fast", {"headers": {"x-timeout-ms": "abc"}}),
    "large body": (413, "POST", "/body", {"content": b"x" * 1001}),
    "model down": (502, "GET", "/down", {}),
    "model busy": (503, "GET", "/busy", {}),
    "model busy, a stream": (503, "GET", "/events/none", {}),
    "events": (200, "GET", "/events", {}),
}


def asked(app: Any, method: str, path: str, origin: str, **more: Any) -> httpx2.Response:
    async def one() -> httpx2.Response:
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://ai"
        ) as client:
            headers = {"origin": origin, **more.pop("headers", {})}
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(one())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("status", "method", "path", "more"), ANSWERS.values(), ids=ANSWERS.keys())
class TestEachAnswer:
    def test_can_be_read_if_every_origin_is_allowed(
        self, status: int, method: str, path: str, more: dict[str, Any], place: Any
    ) -> None:
        answer = asked(place(**STAR), method, path, UI, **more)
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == ["*"]

    def test_can_be_read_by_an_allowed_origin(
        self, status: int, method: str, path: str, more: dict[str, Any], place: Any
    ) -> None:
        answer = asked(place(**ONE), method, path, UI, **more)
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [UI]
        assert answer.headers.get_list("access-control-allow-credentials") == ["true"]
        assert answer.headers.get_list("access-control-expose-headers") == ["retry-after"]
        assert "Origin" in answer.headers["vary"]

    def test_cannot_be_read_by_another_origin(
        self, status: int, method: str, path: str, more: dict[str, Any], place: Any
    ) -> None:
        answer = asked(place(**ONE), method, path, OTHER, **more)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("cors", [STAR, ONE], ids=["any origin", "one"])
def test_a_preflight_passes(cors: dict[str, Any], place: Any) -> None:
    headers = {
        "access-control-request-method": "GET",
        "access-control-request-headers": "x-timeout-ms",
    }
    answer = asked(place(**cors), "OPTIONS", "/fast", UI, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", UI)
    assert "x-timeout-ms" in answer.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize("place", [outside, inside])
def test_without_an_origin_there_are_no_cors_headers(place: Any) -> None:
    async def one() -> httpx2.Response:
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(place(**ONE)), base_url="http://ai"
        ) as client:
            return await client.get("/fast", headers={"x-timeout-ms": "0"})

    assert not [
        name
        for name in asyncio.run(one()).headers
        if name.startswith("access-control-allow-origin")
    ]


def around(**cors: Any) -> Any:
    """Around the application, and not one of its own."""
    app = service()
    app.add_middleware(CORSMiddleware, **cors)
    app.middleware_stack = (
        app.build_middleware_stack()
    )  # as a server has it done before the first request
    return DeadlineMiddleware(app, **ours)


def of_a_router(**cors: Any) -> Any:
    async def slow(request: Any) -> HTMLResponse:
        await asyncio.sleep(60)
        return HTMLResponse("")

    return DeadlineMiddleware(
        Router([Route("/slow", slow)], middleware=[Middleware(CORSMiddleware, **cors)]), **ours
    )


@pytest.mark.parametrize("place", [around, of_a_router])
@pytest.mark.parametrize("said", ["250", "0", "abc"])
def test_cors_middleware_is_found_in_a_wrapped_application(said: str, place: Any) -> None:
    answer = asked(place(**ONE), "GET", "/slow", UI, headers={"x-timeout-ms": said})
    assert answer.status_code == (400 if said == "abc" else 504)
    assert answer.headers["access-control-allow-origin"] == UI
    assert (
        "access-control-allow-origin"
        not in asked(place(**ONE), "GET", "/slow", OTHER, headers={"x-timeout-ms": said}).headers
    )


@virtually
async def test_the_applications_own_cors_headers_are_kept() -> None:
    """They are known when its answer is replaced, even if the middleware is hidden."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        cors = [
            (b"Access-Control-Allow-Origin", b"https://ui.example"),
            (b"Vary", b"Origin"),
            (b"x-other", b"1"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": [*EVENTS, *cors]})
        raise busy()

    caller = Caller()
    await ask(app, caller)
    headers = dict(caller.heard[0]["headers"])
    assert caller.status == 503
    assert headers[b"access-control-allow-origin"] == b"https://ui.example"
    assert headers[b"vary"] == b"Origin"
    assert headers[b"retry-after"] == b"7"
    assert b"x-other" not in headers
    assert headers[b"content-type"] == b"application/json"


@virtually
async def test_an_application_that_wraps_itself_gets_the_answer() -> None:
    class Round:
        def __init__(self) -> None:
            self.app = self

        async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
            raise AssertionError

    caller = Caller()
    await ask(Round(), caller, "0")
    assert (caller.status, error_of(caller.said)["type"]) == (504, "deadline_exceeded")


READS = """async ([url, how]) => {
    try {
        const answer = await fetch(url, how);
        return [answer.status, await answer.text(), answer.headers.get("retry-after")];
    } catch (error) { return [0, String(error), null]; }
}"""
LISTENS = """url => new Promise(done => {
    const events = [], source = new EventSource(url);
    const heard = event => { events.push([event.type, event.data ?? null]); };
    source.onmessage = heard;
    source.addEventListener("done", event => { heard(event); source.close(); done(events); });
    source.addEventListener("error", event => { heard(event); source.close(); done(events); });
})"""


@pytest.fixture(scope="module", params=[outside, inside], ids=["outside", "inside"])
def served(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with serve(request.param(**{**STAR, "expose_headers": ["retry-after"]})) as served:
        yield served


@pytest.fixture(scope="class")
def page() -> Iterator[Page]:
    """A page of another origin than what is served."""

    async def home(request: Any) -> HTMLResponse:
        return HTMLResponse("<title>ui</title>")

    with serve(Starlette(routes=[Route("/", home)])) as ui, Browser() as browser:
        yield browser.page(ui.url)


@needs("chromium")
class TestAPageOfAnotherOrigin:
    @pytest.mark.parametrize(
        ("status", "method", "path", "more"),
        [each for name, each in ANSWERS.items() if name != "events"],
        ids=[name for name in ANSWERS if name != "events"],
    )
    def test_reads_each_answer(
        self, status: int, method: str, path: str, more: dict[str, Any], served: Serving, page: Page
    ) -> None:
        """The header of its own makes the browser ask beforehand, in a preflight."""
        how = {"method": method, "headers": {"x-timeout-ms": "250", **more.get("headers", {})}}
        if "content" in more:
            how["body"] = more["content"].decode()
        got, text, again = page.evaluate(READS, [served.url + path, how])
        assert got == status, text
        assert ("error" in text) is (status != 200)
        assert again == ("7" if status == 503 else None)

    def test_reads_the_error_at_the_end_of_a_stream(self, served: Serving, page: Page) -> None:
        how = {"headers": {"x-timeout-ms": "250"}}
        status, text, _ = page.evaluate(READS, [served.url + "/events", how])
        assert status == 200
        assert text.startswith("data: 42\n\nevent: error\ndata: ")
        assert error_of(text.rpartition("data: ")[2].encode())["type"] == "deadline_exceeded"

    def test_receives_the_error_as_an_event(self, served: Serving, page: Page) -> None:
        events = page.evaluate(LISTENS, served.url + "/events")
        assert [kind for kind, _ in events] == ["message", "error"]
        assert error_of(events[-1][1].encode())["type"] == "deadline_exceeded"

    def test_receives_a_stream_to_its_end(self, served: Serving, page: Page) -> None:
        assert [kind for kind, _ in page.evaluate(LISTENS, served.url + "/events?whole=1")] == [
            "message",
            "done",
        ]

    def test_cannot_read_an_answer_that_it_must_not_read(self, page: Page) -> None:
        """So that what the other tests show is the headers' work."""
        app = service()
        app.add_middleware(DeadlineMiddleware, **ours)
        with serve(app) as closed:
            assert page.evaluate(READS, [closed.url + "/fast", {}])[0] == 0
