"""What the code and the log show when a client disconnects or a server ends."""

import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from langchain_openai import ChatOpenAI

from stream_lab.experiment.release import wait_while
from stream_lab.http.capture import read, side_by_side
from stream_lab.processes.gunicorn import Gunicorn
from stream_lab.processes.serving import Serving, serve

PATIENCE = 5.0  # seconds until an error must have reached the code
NOTICES_WITHIN = 1.5  # seconds until an event loop has noticed that its client disconnected
STAMP = re.compile(r"^\[[^]]*\] \[\d+\] |^[\d.]+:\d+ - |^[\d.]+ - - \[[^]]*\] ")
"""What begins a line of gunicorn's log, and of the access logs of uvicorn and of gunicorn."""
BEGINS, ENDS = "when it begins", "when it has ended"


@dataclass(frozen=True)
class Seen:
    """What is left of an end.

    Attributes:
        in_the_code: the types of the errors that the handler saw.
        in_the_log: the lines of the server's log, from warnings up, joined.
    """

    in_the_code: str
    in_the_log: str


def leave_stream(served: Serving) -> None:
    """Disconnect in the middle of a streamed answer."""
    read(f"{served.url}/text", leave_after=0.2)


def leave_upload(served: Serving) -> None:
    """Disconnect in the middle of a request's body."""
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nhost: ai\r\ncontent-length: 100\r\n\r\nhalf")
        time.sleep(0.2)


def end_server(served: Serving) -> None:
    """End the server in the middle of a streamed answer."""
    side_by_side(f"{served.url}/text", meanwhile=served.close)


def seen_after(
    acts: Mapping[str, Callable[[Serving], None]], settings: dict[str, Any]
) -> dict[str, Seen]:
    """Do some of the above, and return what the code and uvicorn's log show.

    Args:
        acts: functions above, by name.
        settings: where the model is, for `ChatOpenAI`.
    """
    with ThreadPoolExecutor() as pool:
        seen = pool.map(partial(_seen_after, settings=settings), acts.values())
        return dict(zip(acts, seen, strict=True))


def left(gunicorns: Mapping[str, Gunicorn], path: str) -> dict[str, list[str]]:
    """Disconnect in the middle of a stream, and return what each gunicorn logs then.

    Times, process numbers and the client's address are removed from the lines.

    Args:
        gunicorns: the servers by name.
        path: the path of the answer.
    """
    with ThreadPoolExecutor() as pool:
        lines = pool.map(partial(_left, path=path), gunicorns.values())
        return dict(zip(gunicorns, lines, strict=True))


def logged(gunicorns: Mapping[str, Gunicorn], path: str) -> dict[str, tuple[str, str]]:
    """Read a whole answer of each server, and return when it was logged, and how.

    Args:
        gunicorns: the servers by name.
        path: the path of the answer.

    Returns:
        `BEGINS` or `ENDS`, and the line without times and addresses; empty if there is none.
    """
    with ThreadPoolExecutor() as pool:
        lines = pool.map(partial(_logged, path=path), gunicorns.values())
        return dict(zip(gunicorns, lines, strict=True))


def _logged(gunicorn: Gunicorn, path: str) -> tuple[str, str]:
    before = len(gunicorn.log)
    begun: list[bool] = []

    def there() -> bool:
        return '"GET ' in gunicorn.log[before:]

    read(gunicorn.url + path, when_it_begins=lambda: begun.append(there()))
    wait_while(lambda: not there(), patience=PATIENCE, every=0.05)
    found = [line for line in gunicorn.log[before:].splitlines() if '"GET ' in line]
    return BEGINS if any(begun) else ENDS, STAMP.sub("", found[0]) if found else ""


def _left(gunicorn: Gunicorn, path: str) -> list[str]:
    before = len(gunicorn.log)
    read(gunicorn.url + path, leave_after=0.5)
    # uvicorn has written its access line by now, a `sync` worker when it notices.
    wait_while(lambda: '"GET ' not in gunicorn.log[before:], patience=PATIENCE, every=0.05)
    time.sleep(NOTICES_WITHIN)
    return [STAMP.sub("", line) for line in gunicorn.log[before:].splitlines()]


def status(lines: list[str], path: str) -> str:
    """Return the status that a log has for a path. Empty: it has none."""
    found = re.findall(rf'"GET {re.escape(path)} [^"]*" (\d{{3}})', "\n".join(lines))
    return ", ".join(found)


def _seen_after(act: Callable[[Serving], None], settings: dict[str, Any]) -> Seen:
    errors: list[str] = []
    with serve(_noting(errors, settings)) as served:
        act(served)
        wait_while(lambda: not errors, patience=PATIENCE)
        time.sleep(0.2)  # a log line comes after the error
        lines = [line.strip().rstrip(": ") for line in served.log]
        return Seen(", ".join(errors), " / ".join(lines) or "nothing")


def _noting(errors: list[str], settings: dict[str, Any]) -> FastAPI:
    app = FastAPI()
    model = ChatOpenAI(**settings)

    @app.get("/text")
    async def text() -> StreamingResponse:
        async def each() -> AsyncIterator[str]:
            try:
                async for chunk in model.astream("Why?"):
                    yield chunk.text
            except BaseException as error:
                errors.append(type(error).__name__)
                raise

        return StreamingResponse(each(), media_type="text/plain")

    @app.post("/upload")
    async def upload(request: Request) -> int:
        try:
            return len(await request.body())
        except BaseException as error:
            errors.append(type(error).__name__)
            raise

    return app
