"""Streams beside each other on one event loop, and requests to several workers."""

import io
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI

from stream_lab.experiment.evidence import Unknown
from stream_lab.http.capture import Capture, read, side_by_side
from stream_lab.http.client import direct_client
from stream_lab.processes.serving import serve

STALL = 1.0  # seconds that a write to the slow output takes
FLOWS, STANDS_STILL = "flows", "stands still"
OTHERS_WITHIN = 100  # requests until another worker must have answered
PROBE_WITHIN = 1.0  # seconds; Kubernetes' default timeoutSeconds
LATE = 1.0  # seconds; no loop is that late by itself


class SlowOutput(io.StringIO):
    """A standard output with a slow reader, such as an overloaded log collector."""

    def write(self, words: str) -> int:
        if words:
            time.sleep(STALL)
        return super().write(words)


def flow(answer: Capture) -> str:
    """Return whether a stream of twelve tokens a second flows or stands still."""
    return STANDS_STILL if answer.pause > 0.8 * STALL else FLOWS


def beside_callbacks(
    handlers: Sequence[type[BaseCallbackHandler]], settings: dict[str, Any]
) -> dict[str, Capture]:
    """Stream beside a request whose callback prints to a slow output.

    Each callback has a server of its own.

    Args:
        handlers: classes of callbacks.
        settings: where the model is, for `ChatOpenAI`.

    Returns:
        The neighbour's stream, by the name of the class of the callback beside it.
    """

    def stream(handler: type[BaseCallbackHandler]) -> Capture:
        with serve(_streaming(handler, settings)) as served:
            url = f"{served.url}/text?tokens="
            return side_by_side(f"{url}25", f"{url}1&callback=1")[0]

    with redirect_stdout(SlowOutput()), ThreadPoolExecutor() as pool:
        names = [handler.__name__ for handler in handlers]
        return dict(zip(names, pool.map(stream, handlers), strict=True))


class Conversation:
    """A client that counts the turns of a conversation, and keeps its cookies.

    Attributes:
        worker: the worker that answered last; empty before the first turn.
    """

    def __init__(self, url: str, path: str) -> None:
        """Begin a conversation.

        Args:
            url: the server's address.
            path: a path in which {turn} stands for the number of turns so far, and {name} for a
                name that no other conversation has.
        """
        # A kept connection would stay with one worker.
        self._client = direct_client(timeout=10, headers={"connection": "close"})
        self._url = url + path.replace("{name}", uuid4().hex)
        self._turn = 0
        self.worker = ""

    def go_on(self, *, workers: int = 1) -> str:
        """Take five turns or more, and return whether the server remembers each of them.

        Args:
            workers: how many workers must have answered before it ends.
        """
        seen = set()
        for number in range(1, OTHERS_WITHIN + 1):
            answer = self._client.get(self._url.format(turn=self._turn)).json()
            seen.add(answer["worker"])
            self.worker = answer["worker"]
            if answer["turn"] != self._turn + 1:
                return "forgets"
            self._turn = answer["turn"]
            if number >= 5 and len(seen) >= workers:
                return "remembers"
        return Unknown("no other worker answered")


@contextmanager
def blocked(url: str, *, seconds: float) -> Iterator[None]:
    """Block one worker of the application `scaled` for a while, by one request."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(read, f"{url}/sleep?seconds={seconds}")
        time.sleep(0.3)  # until the request has reached its worker
        yield


def probe(url: str, *, times: int) -> str:
    """Return what repeated health probes find, each with a time-out of a second."""
    found = {_probe_once(url) for _ in range(times)}
    return " or ".join(sorted(found))


def lateness(url: str, *, workers: int) -> list[float]:
    """Return how late each worker's event loop was, in seconds, the latest first.

    A worker counts from when it was last asked.

    Args:
        url: the address of the application `scaled`.
        workers: how many workers answer. Fewer, if the others accept no connection.
    """
    late: dict[int, float] = {}
    with ThreadPoolExecutor(2 * workers) as pool:
        for _ in range(OTHERS_WITHIN):
            for answer in pool.map(read, [f"{url}/health"] * 2 * workers):
                health = json.loads(answer.text)
                late[health["worker"]] = max(late.get(health["worker"], 0.0), health["late"])
            if len(late) >= workers:
                break
    return sorted(late.values(), reverse=True)


def how_many_late(lateness: Sequence[float]) -> str:
    """Return how many of these event loops were late, in words."""
    return f"{sum(late > LATE for late in lateness)} of {len(lateness)} late"


def _probe_once(url: str) -> str:
    try:
        with direct_client(timeout=PROBE_WITHIN) as client:
            return "healthy" if client.get(f"{url}/health").is_success else "unhealthy"
    except httpx2.TransportError:
        return "no answer"


def _streaming(handler: type[BaseCallbackHandler], settings: dict[str, Any]) -> FastAPI:
    app = FastAPI()
    model = ChatOpenAI(**settings)

    @app.get("/text")
    async def text(tokens: int, callback: bool = False) -> StreamingResponse:
        callbacks = [handler()] if callback else []
        stream = model.bind(max_tokens=tokens).astream("Why?", config={"callbacks": callbacks})
        return StreamingResponse((chunk.text async for chunk in stream), media_type="text/plain")

    return app
