"""Lines of logs that say who ended a stream: nginx, gunicorn, uvicorn, hypercorn, and this kit's own middleware."""

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
    (r"BrokenPipeError|ConnectionResetError", Who.CLIENT, "The server wrote to a client that had left."),
    (r"Cancel \d+ running task\(s\), timeout graceful shutdown exceeded", Who.SERVER, "The server was stopped and did not wait for the stream."),
    (r"Handling signal: (term|hup|int)|Worker exiting|Shutting down", Who.SERVER, "The server was stopped or restarted."),
    (r"Exception in ASGI application|Error in ASGI Framework", Who.SERVER, "The application raised an error."),
    (r"CancelledError", Who.SERVER, "The request's task was cancelled."),
]  # fmt: skip
ORDERLY = {
    meaning
    for pattern, _, meaning in KNOWN
    if "Handling signal" in pattern or pattern == "CancelledError"
}
"""What also happens to a service that is well."""
CUTS = {Cause.SERVER_ENDED, Cause.PROXY_ENDED, Cause.IDLE_CUT, Cause.TOTAL_CUT}
ENDED_BY = {
    Who.CLIENT: Cause.CLIENT_ENDED,
    Who.PROXY: Cause.PROXY_ENDED,
    Who.SERVER: Cause.SERVER_ENDED,
}
SLACK = timedelta(seconds=2)  # by which a clock may be off
_KNOWN = [(re.compile(pattern), who, meaning) for pattern, who, meaning in KNOWN]
_TIMES = [
    (re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)"), "%Y/%m/%d %H:%M:%S"),  # nginx's errors
    (
        re.compile(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"),
        "%d/%b/%Y:%H:%M:%S %z",
    ),  # accesses
    (
        re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\]"),
        "%Y-%m-%d %H:%M:%S %z",
    ),  # gunicorn, hypercorn
    (re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)"), "%Y-%m-%d %H:%M:%S"),
]


def lines_of(files: Iterable[Path]) -> list[Line]:
    """What files say of ends.

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
    """The diagnosis in the light of logs. `since`, `until`: the local time of the examination.

    A line of that time is about the streams that were asked for; if none of them was cut, the others tell of the streams of others.
    """
    now = [
        line for line in lines if line.at is not None and since - SLACK <= line.at <= until + SLACK
    ]
    if diagnosis.cause in CUTS and now:
        return _of_these(diagnosis, now)
    telling = [line for line in lines if line.meaning not in ORDERLY]
    if diagnosis.cause is Cause.HEALTHY and telling:
        return _of_others(diagnosis, telling)
    return replace(diagnosis, evidence=[*diagnosis.evidence, *_told(now)])


def _of_these(diagnosis: Diagnosis, now: list[Line]) -> Diagnosis:
    evidence = [*diagnosis.evidence, *_told(now)]
    who = {line.who for line in now}
    if any(line.blocked for line in now):
        advice = "Find the blocking call: a synchronous call in an async handler or callback. Await it, or use asyncio.to_thread."
        return replace(
            diagnosis, cause=Cause.LOOP_BLOCKED, confidence=0.9, evidence=evidence, next=advice
        )
    if diagnosis.cause is Cause.SERVER_ENDED and Who.SERVER not in who:
        # We did not leave; the client that the server's side saw stands between it and us.
        return replace(diagnosis, cause=Cause.PROXY_ENDED, confidence=0.85, evidence=evidence)
    return replace(diagnosis, evidence=evidence, confidence=min(0.97, diagnosis.confidence + 0.1))


def _of_others(diagnosis: Diagnosis, telling: list[Line]) -> Diagnosis:
    who, times = Counter(line.who for line in telling).most_common(1)[0]
    cause = Cause.LOOP_BLOCKED if any(line.blocked for line in telling) else ENDED_BY[who]
    kept = [line for line in telling if line.who is who or line.blocked]
    evidence = [
        *diagnosis.evidence,
        f"The stream asked for now is healthy; of {len(telling)} ends in the logs {times} are the {who}'s.",
        *_told(kept),
    ]
    advice = {
        Cause.CLIENT_ENDED: "Ask the client's side: navigation, retries, a time-out of its own. Here, see that the work ends with it.",
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


def _told(lines: list[Line]) -> list[str]:
    """Each meaning once, with the first line that has it."""
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
