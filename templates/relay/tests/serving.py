"""The relay on a port of its own, and what its callers do."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import uvicorn
from langchain_core.callbacks import BaseCallbackHandler

from relay.app import create_app
from relay.settings import Settings

QUESTION = {"question": "Why is the sky blue?"}


@contextmanager
def serving(settings: Settings, handlers: Iterable[BaseCallbackHandler] = ()) -> Iterator[str]:
    """The address of a relay with these settings."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, handlers), log_level="warning", timeout_graceful_shutdown=1
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def wait_until(is_so: Callable[[], object], seconds: float = 20.0) -> None:
    """Raises TimeoutError: it was not so for that long, which is long."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("What was waited for did not happen.")
        time.sleep(0.01)


def client(**options: Any) -> httpx2.Client:
    """One that goes to this machine directly, and waits long enough for a busy one."""
    return httpx2.Client(timeout=30, trust_env=False, **options)


def events(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    """The events of a stream as they come, with their data."""
    kind = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def chat(relay: str, timeout_ms: int | None = None) -> list[tuple[str, Any]]:
    """All events of one answer."""
    headers = {} if timeout_ms is None else {"X-Timeout-Ms": str(timeout_ms)}
    with (
        client() as http,
        http.stream("POST", f"{relay}/chat", json=QUESTION, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        return list(events(answer))
