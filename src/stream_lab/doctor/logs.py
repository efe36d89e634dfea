"""Lines of logs that say who ended a stream: nginx, gunicorn, uvicorn, hypercorn, and this kit's own middleware."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from stream_lab.doctor.events import quote


class Who(StrEnum):
    """Whose doing it was."""

    CLIENT = "client"
    PROXY = "proxy"
    SERVER = "server"


@dataclass(frozen=True)
class Line:
    """A line that tells of an end. `at`: when, in this machine's local time; None: it does not say. `meaning`: in a sentence."""

    who: Who
    meaning: str
    text: str
    at: datetime | None
    blocked: bool = False


# What is looked for, whose doing it is, and what it means; the first that fits counts. As these programs write it, measured: nginx 1.22,
# gunicorn 27, uvicorn 0.54.
KNOWN = [
    (r"WORKER TIMEOUT", Who.SERVER, "gunicorn killed a worker that gave no sign of life: something blocked its event loop."),
    (r"was sent SIG(ABRT|KILL)", Who.SERVER, "A worker was killed."),
    (r"upstream timed out .* while reading (upstream|response header)", Who.PROXY, "nginx waited for proxy_read_timeout and gave up."),
    (r"upstream prematurely closed connection", Who.SERVER, "The server behind nginx closed the connection before the answer was complete."),
    (r"recv\(\) failed \(104: Connection reset by peer\) while reading", Who.SERVER, "The server behind nginx reset the connection."),
    (r"connect\(\) failed .* while connecting to upstream", Who.SERVER, "nginx could not reach its server."),
    (r"client prematurely closed connection|client closed connection while", Who.CLIENT, "The client closed its connection to nginx."),
    (r'" 499 ', Who.CLIENT, "nginx notes 499: the client left before the answer was there."),
    (r'" 504 ', Who.PROXY, "nginx notes 504: it gave up waiting for its server."),
    (r"the caller left", Who.CLIENT, "The caller left, and the work for it was ended."),
    (r"StreamDeadlineExceeded|was not done within|was used up", Who.SERVER, "A deadline of the application's own ended it."),
    (r"Response content (shorter|longer) than Content-Length", Who.SERVER, "The application promised a length that it did not keep."),
    (r"ClientDisconnect", Who.CLIENT, "The client left while its request was read."),
    (r"BrokenPipeError|ConnectionResetError", Who.CLIENT, "The server wrote to somebody who had left."),
    (r"Cancel \d+ running task\(s\), timeout graceful shutdown exceeded", Who.SERVER, "The server was stopped and did not wait for the stream."),
    (r"Handling signal: (term|hup|int)|Worker exiting|Shutting down", Who.SERVER, "The server was stopped or restarted."),
    (r"Exception in ASGI application|Error in ASGI Framework", Who.SERVER, "The application raised an error."),
    (r"CancelledError", Who.SERVER, "The request's task was cancelled."),
]  # fmt: skip
_KNOWN = [(re.compile(pattern), who, meaning) for pattern, who, meaning in KNOWN]
_TIMES = [
    (re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)"), "%Y/%m/%d %H:%M:%S"),  # nginx's errors
    (re.compile(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"), "%d/%b/%Y:%H:%M:%S %z"),  # accesses
    (re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\]"), "%Y-%m-%d %H:%M:%S %z"),  # gunicorn, hypercorn
    (re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)"), "%Y-%m-%d %H:%M:%S"),
]


def lines_of(files: Iterable[Path], *, since: datetime, until: datetime, slack: float = 2.0) -> list[Line]:
    """What files say of ends between two moments of local time, and lines without a time.

    `slack`: seconds by which a clock may be off.

    Raises:
        OSError: a file cannot be read.
    """
    found = []
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as text:
            for raw in text:
                line = _read(raw)
                if line is None:
                    continue
                early, late = since - timedelta(seconds=slack), until + timedelta(seconds=slack)
                if line.at is None or early <= line.at <= late:
                    found.append(line)
    return found


def _read(raw: str) -> Line | None:
    for pattern, who, meaning in _KNOWN:
        if pattern.search(raw):
            return Line(who, meaning, quote(raw.strip()), _time(raw), "WORKER TIMEOUT" in raw)
    return None


def _time(raw: str) -> datetime | None:
    for pattern, form in _TIMES:
        if match := pattern.search(raw):
            try:
                at = datetime.strptime(match[1].replace("T", " ") if form.startswith("%Y-") else match[1], form)
            except ValueError:
                continue
            return at.astimezone().replace(tzinfo=None) if at.tzinfo else at
    return None
