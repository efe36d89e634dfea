"""Tracebacks: whose connection broke, by the files in which the error was raised."""

import re

from stream_lab.doctor.logs.line import Rule, Who

BEGINS = re.compile(r"(?:[ |+]*)(?:Exception Group )?Traceback \(most recent call last\):")
_FRAME = re.compile(r'File "([^"]+)", line \d+')
_RAISED = re.compile(r"^[ |+]*(?P<name>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?$")
_CONTINUES = re.compile(
    r"^(\s|$|The above exception was|During handling of the above|\+|\||\[Previous line repeated)"
)
_GROUP = re.compile(r" *[|+]")
_CALLS = re.compile(
    r"/(aiohttp/(client|connector|streams)|httpx2?/|httpcore2?/|requests/|urllib3/|urllib/request"
    r"|http/client|openai/|anthropic/|langchain\w*/|litellm/|grpc/|botocore/|google/genai|ollama/"
    r"|websockets/(client|asyncio/client|sync/client|legacy/client)|psycopg|asyncpg|redis/|pymongo)"
)
"""Files of clients: an error raised there is about a call of the application's own."""
_SERVES = re.compile(
    r"/(gunicorn/|uvicorn/|uvicorn_worker|hypercorn/|daphne/|granian/|starlette/|waitress/"
    r"|werkzeug/serving|wsgiref/|http/server|socketserver|aiohttp/web|tornado/(web|http1connection)"
    r"|sanic/|sse_starlette/|django/core/servers|cheroot/|gevent/pywsgi|eventlet/wsgi"
    r"|websockets/(legacy/|asyncio/|sync/)?server)"
)
"""Files of servers: a connection that breaks there is the client's."""
_LOST = re.compile(
    r"BrokenPipeError|ConnectionResetError|ConnectionAbortedError|ClientDisconnect"
    r"|ClientConnectionResetError|Broken pipe|Connection reset by peer|WebSocketDisconnect"
    r"|ConnectionClosed(OK|Error)?\b|No response returned"
)
_LEFT = re.compile(
    r"BrokenPipe|ClientDisconnect|ClientConnectionReset|Broken pipe|WebSocketDisconnect"
    r"|No response returned"  # of BaseHTTPMiddleware, whose client disconnects before the answer
)
"""Errors that only a client that disconnects causes."""
_CLIENT_ERRORS = re.compile(
    r"^(httpx2?|httpcore2?|requests|urllib3|openai|anthropic|grpc|botocore|aiohttp\.client_exceptions"
    r"|aiohttp\.http_exceptions|http\.client|litellm)\."
)
_OWN_LIMITS = re.compile(r"StreamDeadlineExceeded|(^|\.)TimeoutError$")
_CANCELLED = re.compile(r"(CancelledError|SystemExit|KeyboardInterrupt|GeneratorExit)$")


def continues(line: str, block: str) -> bool:
    """Tell whether a line belongs to the traceback that has begun."""
    if _CONTINUES.match(line) or BEGINS.match(line):
        return True
    # The line that names the exception follows a frame, and ends the traceback.
    last = block.rstrip("\n").rpartition("\n")[2]
    if not last.startswith((" ", "Traceback")) or _GROUP.match(last):
        return False
    return _RAISED.match(line) is not None


def judge(text: str) -> Rule | None:
    """Return what a traceback shows. None: nothing more than that something was raised."""
    raised = _raised(text)
    frames = _FRAME.findall(text)
    if not raised:
        return None
    # Files of the application's own are in between; the last file that is known decides.
    side = next((side for file in reversed(frames) if (side := _side(file)) is not None), None)
    called = side is Who.SERVER or any(_CLIENT_ERRORS.match(name) for name, _ in raised)
    name = raised[-1][0]
    lost = any(_LOST.search(f"{each}: {words}") for each, words in raised)
    if lost and not called:
        writes = any(_LEFT.search(f"{each}: {words}") for each, words in raised)
        if writes or side is Who.CLIENT:
            return _rule(Who.CLIENT, "The server wrote to a client that had disconnected.")
        return _rule(
            None,
            "A connection of the server was reset; the traceback does not show whose.",
        )
    if called:
        return _rule(
            Who.SERVER,
            f"The application's own call failed, for instance to its model ({name}).",
            "Look at the server that the application calls, and at what is between them.",
        )
    if any(_OWN_LIMITS.search(each) for each, _ in raised):
        return _rule(
            Who.SERVER,
            "A deadline of the application's own ended the stream.",
            "Look at the deadlines that the application sets.",
        )
    if all(_CANCELLED.search(each) for each, _ in raised):
        return _rule(None, "The request's task was cancelled; the line does not say by which side.")
    return _rule(
        Who.SERVER,
        f"The application raised an error ({name}).",
        "Read the traceback in the server's log.",
    )


def _raised(text: str) -> list[tuple[str, str]]:
    """Return the exceptions of a traceback, each with its text."""
    found, frame = [], 0  # the depth of the last frame; 0: its exception has been found
    for line in text.splitlines():
        bare = line.lstrip(" |+-")
        depth = len(line) - len(bare)
        if bare.startswith("File "):
            frame = depth
        elif frame and depth < frame and (match := _RAISED.match(bare)):
            found.append((match["name"], match["text"] or ""))
            frame = 0
    return found


def _side(file: str) -> Who | None:
    if _CALLS.search(file):
        return Who.SERVER
    return Who.CLIENT if _SERVES.search(file) else None


def _rule(who: Who | None, meaning: str, advice: str = "") -> Rule:
    return Rule("", who, meaning, advice)
