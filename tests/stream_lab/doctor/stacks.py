"""Stacks with a known fault, and the diagnosis that the doctor should give.

`tests/stream_lab/doctor/test_stacks.py` tries each; `benchmarks/doctor_confusion.py` makes the table of docs/doctor.md.
"""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from sse_starlette.sse import EventSourceResponse

from stream_lab import bundled
from stream_lab.doctor import Cause, Target
from stream_lab.experiment.fake import Fake
from stream_lab.processes import Gateway, Gunicorn, Haproxy, Nginx, serve
from stream_lab.relay import Relay

GAP = 0.03
Patient = tuple[Target, Target | None]


@dataclass(frozen=True)
class Stack:
    """A stack and its label; `layer` is empty if only one layer is examined."""

    name: str
    cause: Cause
    made: Callable[[], AbstractContextManager[Patient]]
    layer: str = ""
    watch: float = 5.0
    program: str = ""


def fake(scenario: str, **flags: Any) -> Callable[[], AbstractContextManager[Patient]]:
    """A model's server."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with bundled(scenario, gap=flags.pop("gap", GAP), **flags) as gpu:
            yield Target.of(gpu.base_url, model=gpu.model), None

    return made


def fake_through(
    part: Callable[[str], Any], scenario: str = "finite"
) -> Callable[[], AbstractContextManager[Patient]]:
    """A model's server with something before it; asked directly as well."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with bundled(scenario, gap=GAP) as gpu, part(gpu.root) as before:
            yield (
                Target.of(f"{before.url}/v1", model=gpu.model),
                Target.of(gpu.base_url, model=gpu.model),
            )

    return made


app = FastAPI()


async def told(count: int = 30, pause: float = 0.0, at: int = 10) -> AsyncIterator[str]:
    for number in range(count):
        yield f"token {number} "
        await asyncio.sleep(GAP + (pause if number == at else 0))


@app.get("/text")
async def text(pause: float = 0.0) -> StreamingResponse:
    return StreamingResponse(told(pause=pause), media_type="text/plain")


@app.get("/events")
async def events(pause: float = 0.0, ping: int = 15) -> EventSourceResponse:
    async def made() -> AsyncIterator[dict[str, str]]:
        async for token in told(pause=pause):
            yield {"event": "token", "data": token}
        yield {"event": "done", "data": "[DONE]"}

    return EventSourceResponse(made(), ping=ping)


@app.get("/no_done")
async def no_done() -> EventSourceResponse:
    async def made() -> AsyncIterator[dict[str, str]]:
        async for token in told():
            yield {"event": "token", "data": token}

    return EventSourceResponse(made())


@app.get("/collected")
async def collected() -> dict[str, str]:
    return {"text": "".join([token async for token in told()])}


@app.get("/collected_text")
async def collected_text() -> PlainTextResponse:
    return PlainTextResponse("".join([token async for token in told()]))


@app.get("/page")
async def page() -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>Log in</title>")


@app.get("/binary")
async def binary() -> Response:
    return Response(bytes(range(256)) * 20, media_type="application/octet-stream")


@app.get("/raises")
async def raises() -> StreamingResponse:
    async def made() -> AsyncIterator[str]:
        async for token in told(7):
            yield token
        raise KeyError("a callback")

    return StreamingResponse(made(), media_type="text/plain")


@app.get("/own_limit")
async def own_limit() -> StreamingResponse:
    async def made() -> AsyncIterator[str]:
        async with asyncio.timeout(1.5):
            async for token in told(1000):
                yield token  # noqa: ASYNC119 - as people write it

    return StreamingResponse(made(), media_type="text/plain")


@app.get("/blocks")
async def blocks() -> StreamingResponse:
    async def made() -> AsyncIterator[str]:
        for number in range(40):
            yield f"token {number} "
            await asyncio.sleep(GAP)
            if number == 15:
                time.sleep(1.5)  # noqa: ASYNC251 - the fault

    return StreamingResponse(made(), media_type="text/plain")


def served(path: str) -> Callable[[], AbstractContextManager[Patient]]:
    """An application, asked as it is."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with serve(app) as running:
            yield Target.of(running.url + path), None

    return made


def behind_gunicorn(path: str) -> Callable[[], AbstractContextManager[Patient]]:
    """An application in a worker of gunicorn."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with Gunicorn(f"{__name__}:app", "--worker-class=uvicorn_worker.UvicornWorker") as gunicorn:
            yield Target.of(gunicorn.url + path), None

    return made


def served_through(
    part: Callable[[str], Any], path: str
) -> Callable[[], AbstractContextManager[Patient]]:
    """An application with something before it; asked directly as well."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with serve(app) as running, part(running.url) as before:
            yield Target.of(before.url + path), Target.of(running.url + path)

    return made


def relayed(kind: str, scenario: str, path: str) -> Callable[[], AbstractContextManager[Patient]]:
    """The incident's three tiers with nginx before them."""

    @contextmanager
    def made() -> Iterator[Patient]:
        # The relays ask their model to ignore its end token, as the incident's did; so that of a healthy one ends with its context.
        with (
            bundled(scenario, gap=GAP, max_model_len=60) as gpu,
            Relay(kind, gpu) as relay,
            Nginx(relay.url, "proxy_buffering off;") as nginx,
        ):
            ask = Target.of(nginx.url + path, post='{"question": "Why?"}')
            yield ask, Target.of(gpu.base_url, model=gpu.model)

    return made


@contextmanager
def untrusted() -> Iterator[Patient]:
    """TLS with a certificate of its own making."""
    with Fake("finite", tls_self_signed=True) as gpu:
        yield Target.of(gpu.base_url, model=gpu.model), None


@contextmanager
def no_http() -> Iterator[Patient]:
    """A server answers, but does not speak HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                        connection.recv(65536)

        threading.Thread(target=greet, daemon=True).start()
        yield Target.of(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", model="x"), None


@contextmanager
def no_server() -> Iterator[Patient]:
    yield Target.of("http://127.0.0.1:9/v1", model="x"), None


def plain(upstream: str) -> Nginx:
    return Nginx(upstream)


def compressing(upstream: str) -> Nginx:
    return Nginx(
        upstream, "gzip on;", "gzip_types text/plain text/event-stream;", "gzip_min_length 0;"
    )


def impatient(upstream: str) -> Nginx:
    return Nginx(upstream, "proxy_read_timeout 1s;")


def undelayed(upstream: str) -> Haproxy:
    return Haproxy(upstream, "option http-no-delay")


def haproxy(upstream: str) -> Haproxy:
    return Haproxy(upstream, server="1s")


def idle(upstream: str) -> Gateway:
    return Gateway(upstream, idle=1.2)


def limited(upstream: str) -> Gateway:
    return Gateway(upstream, longest=1.7)


def faulty(upstream: str) -> Gateway:
    return Gateway(upstream, largest=2000)


HEALTHY = [
    Stack("a model's server", Cause.HEALTHY, fake("finite")),
    Stack("a fast one", Cause.HEALTHY, fake("finite", gap=0.001)),
    Stack("lines that end in CR LF", Cause.HEALTHY, fake("finite+crlf")),
    Stack("behind nginx", Cause.HEALTHY, fake_through(plain), "", 5.0, "nginx"),
    Stack(
        "behind HAProxy without delay", Cause.HEALTHY, fake_through(undelayed), "", 5.0, "haproxy"
    ),
    Stack("plain text", Cause.HEALTHY, served("/text")),
    Stack("in a worker of gunicorn", Cause.HEALTHY, behind_gunicorn("/text")),
    Stack("events with a pause and comments", Cause.HEALTHY, served("/events?pause=2.5&ping=1")),
    Stack("a pause as when a tool is called", Cause.HEALTHY, served("/text?pause=1.5")),
    Stack(
        "the repaired relay behind nginx",
        Cause.HEALTHY,
        relayed("after", "finite", "/events"),
        "",
        5.0,
        "nginx",
    ),
]

BROKEN = [
    Stack("a model that babbles", Cause.NEVER_ENDS, fake("endless")),
    Stack("a model that falls silent", Cause.NEVER_ENDS, fake("stall")),
    Stack("no first token", Cause.NEVER_ENDS, fake("no_first_token")),
    Stack("no headers", Cause.NEVER_ENDS, fake("no_headers")),
    Stack(
        "the incident",
        Cause.NEVER_ENDS,
        relayed("before", "endless", "/text"),
        "direct",
        4.0,
        "nginx",
    ),
    Stack("HAProxy as it comes", Cause.BUFFERED, fake_through(Haproxy), "proxied", 5.0, "haproxy"),
    Stack("tokens in one heap", Cause.BUFFERED, fake("finite+burst")),
    Stack("a buffer of 4096 bytes", Cause.BUFFERED, fake("finite+buffer")),
    Stack(
        "nginx that compresses",
        Cause.BUFFERED,
        served_through(compressing, "/text"),
        "proxied",
        5.0,
        "nginx",
    ),
    Stack(
        "nginx with a short read time-out",
        Cause.IDLE_CUT,
        served_through(impatient, "/text?pause=3"),
        "proxied",
        6.0,
        "nginx",
    ),
    Stack(
        "HAProxy with a short server time-out",
        Cause.IDLE_CUT,
        served_through(haproxy, "/text?pause=3"),
        "proxied",
        6.0,
        "haproxy",
    ),
    Stack(
        "a gateway's idle limit",
        Cause.IDLE_CUT,
        served_through(idle, "/events?pause=3"),
        "proxied",
        6.0,
    ),
    Stack(
        "a gateway's idle limit, a silent model",
        Cause.IDLE_CUT,
        fake_through(idle, "stall"),
        "proxied",
        4.0,
    ),
    Stack(
        "a platform's limit in all",
        Cause.TOTAL_CUT,
        served_through(limited, "/text?pause=1"),
        "proxied",
        6.0,
    ),
    Stack(
        "a platform's limit, a model that babbles",
        Cause.TOTAL_CUT,
        fake_through(limited, "endless"),
        "proxied",
        4.0,
    ),
    Stack("a limit of the application's own", Cause.TOTAL_CUT, served("/own_limit")),
    Stack("a server that dies", Cause.SERVER_ENDED, fake("close")),
    Stack("a server that dies later", Cause.SERVER_ENDED, fake("close:after=23")),
    Stack("a server that resets", Cause.SERVER_ENDED, fake("reset")),
    Stack("an engine that gives up", Cause.SERVER_ENDED, fake("abort")),
    Stack("an error in the stream", Cause.SERVER_ENDED, fake("error_event")),
    Stack("a generator that raises", Cause.SERVER_ENDED, served("/raises")),
    Stack("a gateway with a fault", Cause.PROXY_ENDED, fake_through(faulty), "proxied"),
    Stack("comments only", Cause.KEEPALIVE_ONLY, fake("keep_alive")),
    Stack("empty deltas only", Cause.KEEPALIVE_ONLY, fake("empty_deltas")),
    Stack("comments from the beginning", Cause.KEEPALIVE_ONLY, fake("keep_alive:after=0")),
    Stack("a long queue", Cause.SLOW_FIRST_TOKEN, fake("finite+pace:first_token=3000"), "", 8.0),
    Stack("JSON that is broken", Cause.BAD_FRAMING, fake("finite+malformed")),
    Stack("chunks of several answers", Cause.BAD_FRAMING, fake("finite+wrong_ids")),
    Stack("an event without end", Cause.BAD_FRAMING, fake("half_event")),
    Stack("a chunk of the wrong size", Cause.BAD_FRAMING, fake("finite+wrong_length")),
    Stack("a body without end", Cause.BAD_FRAMING, fake("finite+linger")),
    Stack("no [DONE]", Cause.MISSING_DONE, fake("finite+no_done")),
    Stack("no last event", Cause.MISSING_DONE, served("/no_done")),
    Stack("one body of JSON", Cause.NOT_STREAMING, served("/collected")),
    Stack("one body of text", Cause.NOT_STREAMING, served("/collected_text")),
    Stack("a page for people", Cause.NOT_SSE, served("/page")),
    Stack("bytes", Cause.NOT_SSE, served("/binary")),
    Stack("a server that is full", Cause.HTTP_ERROR, fake("refuse:times=0")),
    Stack("a wrong key", Cause.HTTP_ERROR, fake("refuse:times=0,status=401")),
    Stack("no such path", Cause.HTTP_ERROR, served("/nowhere")),
    Stack(
        "nginx without its server",
        Cause.HTTP_ERROR,
        served_through(lambda _: Nginx("http://127.0.0.1:9"), "/text"),
        "proxied",
        5.0,
        "nginx",
    ),
    Stack("no server", Cause.UNREACHABLE, lambda: no_server()),
    Stack("a certificate that is not trusted", Cause.UNREACHABLE, lambda: untrusted()),
    Stack("no HTTP", Cause.UNREACHABLE, lambda: no_http()),
    Stack("a handler that blocks the loop", Cause.LOOP_BLOCKED, served("/blocks"), "", 8.0),
    Stack(
        "the same in a worker of gunicorn", Cause.LOOP_BLOCKED, behind_gunicorn("/blocks"), "", 8.0
    ),
    Stack(
        "a server that does not stop",
        Cause.GENERATES_AFTER_LEAVE,
        fake("finite:tokens=100", on_disconnect="keep"),
    ),
]

STACKS = [*HEALTHY, *BROKEN]
