"""gunicorn's words, of the versions 19 to 27, and the class of its workers.

Source: gunicorn/arbiter.py and gunicorn/workers of the tags 19.9 to 25, and 27.0.1. Version 20.1
says "terminated due to signal", 20.0 nothing, and 21 and later ones "was sent".
"""

import re

from stream_lab.doctor.logs.line import Rule, Who, Worker

USING = re.compile(r"Using worker: (?P<name>\S+)")
STARTS = re.compile(r"Starting gunicorn|Booting worker with pid")
FRAMES = {
    Worker.SYNC: re.compile(r"gunicorn/workers/sync\.py"),
    Worker.LOOP: re.compile(
        r"gunicorn/workers/(gthread|ggevent|geventlet|gtornado|gasgi|gaiohttp|base_async)\.py"
        r"|uvicorn/workers\.py|uvicorn_worker/|/uvicorn/|aiohttp/worker\.py|/gevent/|/eventlet/"
    ),
}
"""Files that appear in the traceback of a worker of each class."""

TIMEOUT = re.compile(r"WORKER TIMEOUT")
MEANINGS = {
    Worker.SYNC: "gunicorn killed a sync worker whose request took longer than --timeout; "
    "a sync worker sends no heartbeat during a request.",
    Worker.LOOP: "gunicorn killed a worker that sent no heartbeat: something blocked its event "
    "loop, or its main thread.",
    Worker.UNKNOWN: "gunicorn killed a worker that sent no heartbeat for --timeout seconds: either "
    "a sync worker with a long request, or a worker whose event loop was blocked. "
    "The line 'Using worker: …' in its log tells which.",
}
_UNBLOCK = (
    "Find the blocking call: a synchronous call in an async handler or callback. "
    "Await it, or use asyncio.to_thread."
)
_CHANGE = (
    "For streams, use --worker-class gthread or an async class such as uvicorn's; "
    "or raise --timeout above the longest answer."
)
ADVICE = {
    Worker.SYNC: _CHANGE,
    Worker.LOOP: _UNBLOCK,
    Worker.UNKNOWN: f"If gunicorn's log says 'Using worker: sync': {_CHANGE} Otherwise: {_UNBLOCK}",
}

_MEMORY = "Look at the memory of the machine or container (dmesg, OOMKilled), and at crashes."

RULES = (
    Rule(
        r"[Ww]orker( with pid|) ?\(?(pid:)? ?\d+\)? was (sent|terminated due to signal) "
        r"(SIG)?(TERM|INT|QUIT|HUP|15|2|3|1)\b",
        Who.SERVER,
        "A worker was stopped.",
        is_orderly=True,
    ),
    Rule(
        r"[Ww]orker( with pid|) ?\(?(pid:)? ?\d+\)? was (sent|terminated due to signal)",
        Who.SERVER,
        "A worker was killed.",
        _MEMORY,
    ),
    Rule(
        r"[Ww]orker( with pid|) ?\(?(pid:)? ?\d+\)? exited with code [1-9]|Worker failed to boot"
        r"|Exception in worker process",
        Who.SERVER,
        "A worker died.",
        "Read the traceback in gunicorn's log.",
    ),
    Rule(
        r"Ignoring (EPIPE|connection (reset|epipe))|premature client disconnection",
        Who.CLIENT,
        "The client closed its connection to gunicorn.",
    ),
    Rule(
        r"Forcing close of \d+ connections|Worker graceful timeout",
        Who.SERVER,
        "The server was stopped and did not wait for the stream.",
        "Raise --graceful-timeout above the longest answer.",
    ),
    Rule(
        r"Handling signal: (term|hup|int|quit|usr2|winch)|Worker exiting|Shutting down: Master"
        r"|Autorestarting worker|Worker reloading|[Pp]arent changed, shutting down"
        r"|graceful stop of workers|Worker shutting down",
        Who.SERVER,
        "The server was stopped or restarted.",
        is_orderly=True,
    ),
    Rule(
        r"Error handling request",
        Who.SERVER,
        "The application raised an error.",
        "Read the traceback in gunicorn's log.",
    ),
)


def worker_of(name: str) -> Worker:
    """Return the kind of a worker class, from its name in "Using worker: …"."""
    return Worker.SYNC if name.rpartition(".")[2] in ("sync", "SyncWorker") else Worker.LOOP


def rule_of(worker: Worker) -> Rule:
    """Return what WORKER TIMEOUT means for a class of workers."""
    return Rule(TIMEOUT.pattern, Who.SERVER, MEANINGS[worker], ADVICE[worker])
