"""Causes that cut a stream when a service is scaled, with real gunicorn and Chromium."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_openai import ChatOpenAI
from sse_starlette.sse import EventSourceResponse
from starlette.responses import HTMLResponse, StreamingResponse

from stream_deadline import ChatVllm
from stream_deadline.asgi import DeadlineMiddleware
from stream_lab import Endpoint, bundled
from stream_lab.experiment.release import watch_release
from stream_lab.http.capture import CUT, REFUSED, WHOLE, Capture, read, side_by_side
from stream_lab.processes import Browser, Gunicorn, serve
from tests.at_once import SideBySide
from tests.conftest import ledger, needs, wait

ASGI, WSGI = "stream_lab.relay.scaled:app", "stream_lab.relay.scaled_sync:app"
UVICORN = "uvicorn_worker.UvicornWorker"
LONG = 90  # tokens, four and a half seconds: more than twice the shortest time-out
STANDS_STILL = 0.8  # seconds without a token, of tokens that come every 0.05


@pytest.fixture(scope="module")
def gpu() -> Iterator[Endpoint]:
    with bundled("endless", gap=0.05) as endpoint:
        yield endpoint


@dataclass(frozen=True)
class Trial:
    """A gunicorn, concurrent requests, a signal after the last has begun, and a last request."""

    app: str
    options: tuple[str, ...]
    paths: tuple[str, ...]
    signal: Callable[[Gunicorn], None] | None = None
    then: str = ""


@dataclass(frozen=True)
class Found:
    gunicorn: Gunicorn
    answers: list[Capture]

    @property
    def ends(self) -> list[str]:
        return [answer.end for answer in self.answers]


TEXT, BLOCKING = f"/text?tokens={LONG}", f"/blocking?tokens={LONG}"
TRIALS = {
    # How a worker's time-out treats a healthy stream and a handler that waits.
    "healthy, uvicorn": Trial(
        ASGI, (UVICORN, "--timeout=2"), (TEXT, f"/in_a_thread?tokens={LONG}")
    ),
    "healthy, asgi": Trial(ASGI, ("asgi", "--timeout=2"), (TEXT, f"/in_a_thread?tokens={LONG}")),
    "healthy, sync": Trial(WSGI, ("sync", "--timeout=2"), (TEXT,)),
    "healthy, sync, patient": Trial(WSGI, ("sync", "--timeout=30"), (TEXT,)),
    "healthy, gthread": Trial(WSGI, ("gthread", "--threads=4", "--timeout=2"), (TEXT, BLOCKING)),
    "healthy, tornado": Trial(WSGI, ("tornado", "--timeout=2"), (TEXT,)),
    "blocked, uvicorn": Trial(ASGI, (UVICORN, "--timeout=2"), (TEXT, BLOCKING)),
    "blocked, uvicorn, old": Trial(
        ASGI, ("uvicorn.workers.UvicornWorker", "--timeout=2"), (TEXT, BLOCKING)
    ),
    "blocked, asgi": Trial(ASGI, ("asgi", "--timeout=2"), (TEXT, BLOCKING)),
    "late, uvicorn": Trial(ASGI, (UVICORN, "--timeout=2"), ("/stutters?pieces=40&seconds=0.25",)),
    "blocked, uvicorn, patient": Trial(
        ASGI, (UVICORN, "--timeout=30"), (TEXT, "/blocking?tokens=50")
    ),
    # A rolling restart, and an end.
    "restart, patient": Trial(
        ASGI,
        (UVICORN, "--timeout=30", "--graceful-timeout=1"),
        ("/talk/mine", TEXT),
        Gunicorn.restart,
        "/talk/mine",
    ),
    "restart, hasty": Trial(
        ASGI, (UVICORN, "--timeout=2", "--graceful-timeout=1"), (TEXT,), Gunicorn.restart
    ),
    "restart, events": Trial(
        ASGI,
        (UVICORN, "--timeout=30", "--graceful-timeout=30"),
        (f"/events?tokens={LONG}", f"/events?tokens={LONG}&grace=25"),
        Gunicorn.restart,
    ),
    "end, hasty": Trial(
        ASGI, (UVICORN, "--timeout=30", "--graceful-timeout=1"), (TEXT,), Gunicorn.stop
    ),
    "end, patient": Trial(
        ASGI, (UVICORN, "--timeout=30", "--graceful-timeout=30"), (TEXT,), Gunicorn.stop
    ),
}


@pytest.fixture(scope="module")
def trials(gpu: Endpoint) -> Iterator[SideBySide[Found]]:
    """All trials, five at a time, since each mostly waits."""
    with closing(SideBySide(lambda name: _play(TRIALS[name], gpu), TRIALS, 5)) as trials:
        yield trials


def _play(trial: Trial, gpu: Endpoint) -> Found:
    with started(gpu, trial.app, *trial.options) as gunicorn:
        meanwhile = None if trial.signal is None else partial(trial.signal, gunicorn)
        answers = side_by_side(*(gunicorn.url + path for path in trial.paths), meanwhile=meanwhile)
        if trial.then:
            answers.append(read(gunicorn.url + trial.then))
        if CUT in [answer.end for answer in answers] and trial.signal is None:
            wait(lambda: "was sent" in gunicorn.log or "SystemExit" in gunicorn.log)
    return Found(gunicorn, answers)


def started(gpu: Endpoint, app: str, worker: str, *options: str) -> Gunicorn:
    """With `--preload`, so that a new worker costs nothing."""
    env = {"BASE_URL": gpu.base_url, "MODEL": gpu.model}
    return Gunicorn(app, f"--worker-class={worker}", "--preload", *options, env=env)


KILLED = "[CRITICAL] WORKER TIMEOUT (pid:PID)"


class TestTheWorkersTimeOut:
    @pytest.mark.parametrize("worker", ["uvicorn", "asgi"])
    def test_an_asynchronous_worker_is_not_killed_for_a_long_stream(
        self, worker: str, trials: SideBySide[Found]
    ) -> None:
        found = trials[f"healthy, {worker}"]
        assert found.ends == [WHOLE, WHOLE]
        assert found.answers[0].pause < STANDS_STILL
        assert not found.gunicorn.said("TIMEOUT")

    @pytest.mark.parametrize(
        ("worker", "words"),
        [
            ("uvicorn", "[WARNING] Worker (pid:PID) was sent SIGABRT!"),
            ("uvicorn, old", "[WARNING] Worker (pid:PID) was sent SIGABRT!"),
            # Its SIGABRT is a callback of the loop that is blocked, so that gunicorn has to go further and guesses at the cause.
            ("asgi", "[ERROR] Worker (pid:PID) was sent SIGKILL! Perhaps out of memory?"),
        ],
    )
    def test_an_asynchronous_worker_is_killed_for_a_blocked_loop_with_all_its_streams(
        self, worker: str, words: str, trials: SideBySide[Found]
    ) -> None:
        found = trials[f"blocked, {worker}"]
        assert found.ends == [CUT, REFUSED]
        assert found.gunicorn.said("TIMEOUT", "was sent SIGABRT", "was sent SIGKILL") == [
            KILLED,
            words,
        ]

    def test_an_asynchronous_worker_is_killed_in_full_flow_if_its_loop_is_late_at_each_turn(
        self, trials: SideBySide[Found]
    ) -> None:
        found = trials["late, uvicorn"]
        assert found.ends == [CUT]
        assert len(found.answers[0].pieces) > 3
        assert KILLED in found.gunicorn.said("TIMEOUT")

    def test_a_longer_time_out_keeps_the_worker_and_delays_the_concurrent_stream(
        self, trials: SideBySide[Found]
    ) -> None:
        found = trials["blocked, uvicorn, patient"]
        assert found.ends == [WHOLE, WHOLE]
        assert found.answers[0].pause > 2 * STANDS_STILL

    def test_a_synchronous_worker_is_killed_for_a_healthy_stream(
        self, trials: SideBySide[Found]
    ) -> None:
        found, patient = trials["healthy, sync"], trials["healthy, sync, patient"]
        assert (found.ends, patient.ends) == ([CUT], [WHOLE])
        assert found.gunicorn.said("TIMEOUT", "Error", "SystemExit") == [
            KILLED,
            "[ERROR] Error handling request",
            "SystemExit: 1",
        ]

    def test_a_worker_with_threads_is_not_killed_for_a_healthy_stream(
        self, trials: SideBySide[Found]
    ) -> None:
        found = trials["healthy, gthread"]
        assert found.ends == [WHOLE, WHOLE]
        assert found.answers[0].manner == "token by token"
        assert not found.gunicorn.said("TIMEOUT")

    def test_tornados_worker_does_not_stream(self, trials: SideBySide[Found]) -> None:
        pytest.importorskip("tornado")
        (answer,) = trials["healthy, tornado"].answers
        assert (answer.end, answer.manner) == (WHOLE, "all at once")


class TestARollingRestart:
    def test_a_stream_outlives_the_graceful_limit_if_the_workers_time_out_is_long(
        self, trials: SideBySide[Found]
    ) -> None:
        found = trials["restart, patient"]
        before, stream, after = found.answers
        assert stream.end == WHOLE
        # The new worker knows nothing of what the old one had in its memory.
        assert [json.loads(answer.text)["turn"] for answer in (before, after)] == [1, 1]

    def test_a_short_time_out_cuts_it_since_a_stopping_worker_sends_no_heartbeat(
        self, trials: SideBySide[Found]
    ) -> None:
        found = trials["restart, hasty"]
        assert found.ends == [CUT]
        assert found.gunicorn.said("signal: hup", "TIMEOUT") == [
            "[INFO] Handling signal: hup",
            KILLED,
        ]

    def test_the_graceful_limit_acts_when_the_server_stops(self, trials: SideBySide[Found]) -> None:
        hasty, patient = trials["end, hasty"], trials["end, patient"]
        assert (hasty.ends, patient.ends) == ([CUT], [WHOLE])
        assert not hasty.gunicorn.said("TIMEOUT", "SIGKILL")  # no line says so

    def test_sse_starlette_ends_its_streams_at_once_without_a_grace_period(
        self, trials: SideBySide[Found]
    ) -> None:
        found = trials["restart, events"]
        assert found.ends == [CUT, WHOLE]
        assert found.answers[1].text.rstrip().endswith("data: [DONE]")
        assert found.gunicorn.said("ASGI callable") == [
            "[ERROR] ASGI callable returned without completing response."
        ]


def test_another_worker_does_not_have_the_conversation_in_a_workers_memory(gpu: Endpoint) -> None:
    with started(gpu, ASGI, UVICORN, "--workers=4") as gunicorn:
        wait(lambda: gunicorn.log.count("startup complete") == 4)
        turns: list[int] = []
        workers: set[int] = set()
        while len(workers) < 2 and len(turns) < 200:
            answer = json.loads(read(f"{gunicorn.url}/talk/mine").text)
            turns.append(answer["turn"])
            workers.add(answer["worker"])
        assert turns[-1] == 1 < len(turns)
        turn, workers = 0, set[int]()
        while len(workers) < 2 and turn < 200:
            answer = json.loads(read(f"{gunicorn.url}/talk_with/{turn}").text)
            assert answer["turn"] == turn + 1
            turn = answer["turn"]
            workers.add(answer["worker"])
        assert len(workers) > 1


class TestADisconnect:
    def test_is_a_broken_pipe_in_a_synchronous_worker_that_only_debug_logs(
        self, gpu: Endpoint, http: httpx2.Client
    ) -> None:
        with (
            bundled("endless", gap=0.05) as own,
            started(own, WSGI, "sync", "--log-level=debug") as gunicorn,
        ):
            read(f"{gunicorn.url}/text?tokens={LONG}", leave_after=0.3)
            wait(lambda: gunicorn.said("EPIPE"))
            assert gunicorn.said("EPIPE") == ["[DEBUG] Ignoring EPIPE"]
            wait(lambda: ledger(http, own)[-1]["slot_freed"])
            assert ledger(http, own)[-1]["tokens"] < LONG

    def test_is_a_cancellation_in_an_asynchronous_worker_that_is_not_logged(
        self, gpu: Endpoint
    ) -> None:
        seen: list[str] = []
        app = FastAPI()

        @app.get("/text")
        async def text() -> StreamingResponse:
            async def each() -> AsyncIterator[str]:
                try:
                    async for chunk in ChatOpenAI(**gpu.settings).astream("Why?"):
                        yield str(chunk.content)
                except BaseException as error:
                    seen.append(type(error).__name__)
                    raise

            return StreamingResponse(each(), media_type="text/plain")

        with serve(app) as served:
            read(f"{served.url}/text", leave_after=0.3)
            wait(lambda: seen)
            assert (seen, served.log) == (["CancelledError"], [])
            seen.clear()
            with ThreadPoolExecutor() as pool:
                asked = pool.submit(read, f"{served.url}/text")
                time.sleep(0.5)
                served.close()
                assert asked.result().end == CUT
            assert seen == ["CancelledError"]
            assert served.log[0] == "Cancel 1 running task(s), timeout graceful shutdown exceeded"


class _Sleeps(BaseCallbackHandler):
    def on_llm_new_token(self, *_: Any, **more: Any) -> None:
        time.sleep(1)


class _SleepsInline(_Sleeps):
    run_inline = True


class _SleepsAsync(AsyncCallbackHandler):
    async def on_llm_new_token(self, *_: Any, **more: Any) -> None:
        time.sleep(1)  # noqa: ASYNC251 - the exhibit


@pytest.mark.parametrize(
    ("handler", "starves"),
    [(_Sleeps, False), (_SleepsInline, True), (_SleepsAsync, True)],
    ids=["sync", "inline", "async"],
)
def test_a_blocking_callback_delays_the_concurrent_stream_only_on_the_loop(
    handler: type[BaseCallbackHandler], starves: bool, gpu: Endpoint
) -> None:
    app = FastAPI()

    @app.get("/text")
    async def text(tokens: int, waits: bool = False) -> StreamingResponse:
        stream = (
            ChatOpenAI(**gpu.settings)
            .bind(max_tokens=tokens)
            .astream("Why?", config={"callbacks": [handler()] if waits else []})
        )

        async def each() -> AsyncIterator[str]:
            async for chunk in stream:
                yield str(chunk.content)

        return StreamingResponse(each(), media_type="text/plain")

    with serve(app) as served:
        neighbour, own = side_by_side(
            f"{served.url}/text?tokens=70", f"{served.url}/text?tokens=2&waits=1"
        )
    assert (neighbour.end, own.end) == (WHOLE, WHOLE)
    assert own.pause > STANDS_STILL
    assert (neighbour.pause > STANDS_STILL) is starves


ASKS = "url => { window.c = new AbortController(); fetch(url, {signal: c.signal}).catch(error => window.why = error.name); }"
LISTENS = """([url, closes]) => {
    window.text = "";
    window.source = new EventSource(url);
    source.addEventListener("token", event => { text += event.data; });
    source.addEventListener("done", () => { if (closes) source.close(); });
}"""
CLOSED = "source.readyState == 2"


def web(model: ChatOpenAI, asked: list[str]) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse("<title>a page</title>")

    @app.get("/answer")
    async def answer() -> dict[str, str]:
        return {"text": "".join([str(chunk.content) async for chunk in model.astream("Why?")])}

    @app.get("/events", response_model=None)
    async def events(
        name: str, request: Request, cut: bool = False, once: bool = False
    ) -> Response:
        if once and "last-event-id" in request.headers:
            return Response(status_code=204)
        asked.append(name)

        async def each() -> AsyncIterator[dict[str, str | int]]:
            number = 0
            async for _ in model.bind(max_tokens=4).astream("Why?"):
                number += 1
                yield {"event": "token", "data": "x", "id": str(number), "retry": 200}
                if cut and number == 2:
                    await asyncio.sleep(0.2)  # an id that the browser has not read is not sent back
                    raise RuntimeError
            yield {"event": "done", "data": "[DONE]"}

        return EventSourceResponse(each())

    return app


@needs("chromium")
class TestABrowser:
    def test_that_aborts_ends_the_generation_only_if_the_handler_listens(
        self, gpu: Endpoint
    ) -> None:
        before = web(ChatOpenAI(**gpu.settings), [])
        after = web(ChatVllm(**gpu.settings), [])
        after.add_middleware(DeadlineMiddleware, default_timeout=60)
        with serve(before) as broken, serve(after) as repaired, Browser() as browser:
            found = {}
            for name, served in (("before", broken), ("after", repaired)):
                page = browser.page(served.url)

                def ask(page: Any = page) -> Callable[[], object]:
                    page.evaluate(ASKS, "/answer")
                    return lambda: page.evaluate("c.abort()")

                found[name] = watch_release(gpu, ask, after=0.5, watch=1).server
                assert page.evaluate("why") == "AbortError"
        assert found == {"before": "still generating", "after": "stopped"}

    def test_reconnects_after_a_stream_of_events_unless_the_server_stops_that(
        self, gpu: Endpoint
    ) -> None:
        asked: list[str] = []
        with serve(web(ChatOpenAI(**gpu.settings), asked)) as served, Browser() as browser:
            pages = {}
            for name, closes, more in (
                ("whole", False, ""),
                ("whole, closes", True, ""),
                ("cut", False, "&cut=1"),
                ("cut, once", False, "&cut=1&once=1"),
            ):
                pages[name] = browser.page(served.url)
                pages[name].evaluate(LISTENS, [f"/events?name={name}{more}", closes])
            for name in ("whole, closes", "cut, once"):
                pages[name].wait_for_function(CLOSED)
            for name in ("whole", "cut"):
                wait(lambda name=name: asked.count(name) > 1)  # type: ignore[misc]
                pages[name].wait_for_function("text.length > 4")
                assert not pages[name].evaluate(CLOSED)
        assert (asked.count("whole, closes"), asked.count("cut, once")) == (1, 1)
