"""Log lines that show what ended a stream: nginx, gunicorn, uvicorn, hypercorn, this kit."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.events import quote


class Who(StrEnum):
    """The party that ended a stream."""

    CLIENT = "client"
    PROXY = "proxy"
    SERVER = "server"


@dataclass(frozen=True)
class Line:
    """A log line about the end of a stream.

    Attributes:
        who: the party that ended it.
        meaning: what the line means, as a sentence.
        text: the line itself, shortened and printable.
        at: its local time on this machine. None: the line has no time.
        blocked: whether the line shows that something blocked an event loop.
    """

    who: Who
    meaning: str
    text: str
    at: datetime | None
    blocked: bool = False


# A pattern, the party, and the meaning; the first match counts. The wording was measured with
# nginx 1.22, gunicorn 27 and uvicorn 0.54.
KNOWN = [
    (
        r"WORKER TIMEOUT",
        Who.SERVER,
        "gunicorn killed a worker that sent no heartbeat: something blocked its event loop.",
    ),
    (r"was sent SIG(ABRT|KILL)", Who.SERVER, "A worker was killed."),
    (
        r"upstream timed out .* while reading (upstream|response header)",
        Who.PROXY,
        "nginx waited for proxy_read_timeout and gave up.",
    ),
    (
        r"upstream prematurely closed connection",
        Who.SERVER,
        "The server behind nginx closed the connection before the answer was complete.",
    ),
    (
        r"recv\(\) failed \(104: Connection reset by peer\) while reading",
        Who.SERVER,
        "The server behind nginx reset the connection.",
    ),
    (
        r"connect\(\) failed .* while connecting to upstream",
        Who.SERVER,
        "nginx could not reach its server.",
    ),
    (
        r"client prematurely closed connection|client closed connection while",
        Who.CLIENT,
        "The client closed its connection to nginx.",
    ),
    (
        r'" 499 ',
        Who.CLIENT,
        "nginx logged 499: the client disconnected before the answer was complete.",
    ),
    (r'" 504 ', Who.PROXY, "nginx logged 504: it gave up waiting for its server."),
    (
        r"the client disconnected|the caller left",  # in this version, and before it
        Who.CLIENT,
        "The client disconnected, and the work for it was ended.",
    ),
    (
        r"StreamDeadlineExceeded|was not done within|was used up",
        Who.SERVER,
        "A deadline of the application's own ended the stream.",
    ),
    (
        r"Response content (shorter|longer) than Content-Length",
        Who.SERVER,
        "The application declared a length and sent less or more.",
    ),
    (r"ClientDisconnect", Who.CLIENT, "The client disconnected while its request was read."),
    (
        r"BrokenPipeError|ConnectionResetError",
        Who.CLIENT,
        "The server wrote to a client that had disconnected.",
    ),
    (
        r"Cancel \d+ running task\(s\), timeout graceful shutdown exceeded",
        Who.SERVER,
        "The server was stopped and did not wait for the stream.",
    ),
    (
        r"Handling signal: (term|hup|int)|Worker exiting|Shutting down",
        Who.SERVER,
        "The server was stopped or restarted.",
    ),
    (
        r"Exception in ASGI application|Error in ASGI Framework",
        Who.SERVER,
        "The application raised an error.",
    ),
    (r"CancelledError", Who.SERVER, "The request's task was cancelled."),
]
ORDERLY = {
    meaning
    for pattern, _, meaning in KNOWN
    if "Handling signal" in pattern or pattern == "CancelledError"
}
"""Meanings of lines that a healthy service logs too."""
CUTS = {Cause.SERVER_ENDED, Cause.PROXY_ENDED, Cause.IDLE_CUT, Cause.TOTAL_CUT}
ENDED_BY = {
    Who.CLIENT: Cause.CLIENT_ENDED,
    Who.PROXY: Cause.PROXY_ENDED,
    Who.SERVER: Cause.SERVER_ENDED,
}
SLACK = timedelta(seconds=2)  # how far two clocks may differ
_KNOWN = [(re.compile(pattern), who, meaning) for pattern, who, meaning in KNOWN]
_TIMES = [
    # nginx's error log
    (re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)"), "%Y/%m/%d %H:%M:%S"),
    # nginx's access log
    (re.compile(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"), "%d/%b/%Y:%H:%M:%S %z"),
    # gunicorn, hypercorn
    (re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\]"), "%Y-%m-%d %H:%M:%S %z"),
    (re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)"), "%Y-%m-%d %H:%M:%S"),
]


def lines_of(files: Iterable[Path]) -> list[Line]:
    """Return the lines of some log files that show how a stream ended.

    Raises:
        OSError: a file cannot be read.
    """
    found = []
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as text:
            found += [line for raw in text if (line := _read(raw)) is not None]
    return found


def consider(
    diagnosis: Diagnosis, lines: list[Line], *, since: datetime, until: datetime
) -> Diagnosis:
    """Return the diagnosis in the light of the logs.

    Lines from the time of the examination are about its own streams. If none of these was cut, the
    other lines are about streams of other clients.

    Args:
        diagnosis: the result of the examination.
        lines: lines of the logs.
        since: the local time at which the examination began.
        until: the local time at which it ended.
    """
    now = [
        line for line in lines if line.at is not None and since - SLACK <= line.at <= until + SLACK
    ]
    if diagnosis.cause in CUTS and now:
        return _of_these(diagnosis, now)
    telling = [line for line in lines if line.meaning not in ORDERLY]
    if diagnosis.cause is Cause.HEALTHY and telling:
        return _of_others(diagnosis, telling)
    return replace(diagnosis, evidence=[*diagnosis.evidence, *_sentences(now)])


def _of_these(diagnosis: Diagnosis, now: list[Line]) -> Diagnosis:
    evidence = [*diagnosis.evidence, *_sentences(now)]
    who = {line.who for line in now}
    if any(line.blocked for line in now):
        advice = (
            "Find the blocking call: a synchronous call in an async handler or callback. "
            "Await it, or use asyncio.to_thread."
        )
        return replace(
            diagnosis, cause=Cause.LOOP_BLOCKED, confidence=0.9, evidence=evidence, next=advice
        )
    if diagnosis.cause is Cause.SERVER_ENDED and Who.SERVER not in who:
        # The doctor did not disconnect, so the client in the log is between server and doctor.
        return replace(diagnosis, cause=Cause.PROXY_ENDED, confidence=0.85, evidence=evidence)
    return replace(diagnosis, evidence=evidence, confidence=min(0.97, diagnosis.confidence + 0.1))


def _of_others(diagnosis: Diagnosis, telling: list[Line]) -> Diagnosis:
    who, times = Counter(line.who for line in telling).most_common(1)[0]
    cause = Cause.LOOP_BLOCKED if any(line.blocked for line in telling) else ENDED_BY[who]
    kept = [line for line in telling if line.who is who or line.blocked]
    evidence = [
        *diagnosis.evidence,
        f"The stream is healthy now; of {len(telling)} ends in the logs, the {who} caused {times}.",
        *_sentences(kept),
    ]
    advice = {
        Cause.CLIENT_ENDED: "Look at the client: navigation, retries, a time-out of its own. "
        "On the server, check that the work ends when the client disconnects.",
        Cause.PROXY_ENDED: "Look at the proxy's limits for the times that its log names.",
    }.get(cause, "Read the server's log around these lines.")
    return replace(
        diagnosis,
        cause=cause,
        confidence=0.55,
        evidence=evidence,
        next=advice,
        refuted_by="logs of another time",
    )


def _sentences(lines: list[Line]) -> list[str]:
    """Return each meaning once, with the first line that has it."""
    first = {line.meaning: line for line in reversed(lines)}
    return [f"Log: {line.text} ({line.meaning.rstrip('.')}.)" for line in reversed(first.values())][
        :6
    ]


def _read(raw: str) -> Line | None:
    for pattern, who, meaning in _KNOWN:
        if pattern.search(raw):
            return Line(who, meaning, quote(raw.strip()), _time(raw), "WORKER TIMEOUT" in raw)
    return None


def _time(raw: str) -> datetime | None:
    for pattern, form in _TIMES:
        if match := pattern.search(raw):
            try:
                at = datetime.strptime(
                    match[1].replace("T", " ") if form.startswith("%Y-") else match[1], form
                )
            except ValueError:
                continue
            return at.astimezone().replace(tzinfo=None) if at.tzinfo else at
    return None
