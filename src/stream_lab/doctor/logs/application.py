"""The words of ASGI servers, of Python's errors, and of this project's middleware.

Sources: the loggers uvicorn.error of uvicorn 0.54 and hypercorn.error of hypercorn 0.17;
stream_deadline's _asgi_exchange.py, _error_response.py and _errors.py.
"""

from stream_lab.doctor.logs.line import Rule, Who

_OWN_LIMIT = (
    "Look at the deadlines that the application sets, and at the limit that the line names."
)
_MODEL = "Look at the model's server, and at what is between it and the application."
_TRACEBACK = "Read the traceback in the server's log."

UPSTREAM_WORDS = (
    r"(?i:\b(model|upstream|llm|vllm|openai|anthropic|ollama|inference|backend|api|completion"
    r"|provider|remote|fetch\w*|calling)\b.*\b(call|request|failed|failure|error|connection)"
    r"|call(ing)? .*failed|request to )"
)
"""Words with which applications report a failed call of their own."""

RULES = (
    Rule(r"the cancelled work ended with|the work did not end within", None, ""),  # what followed
    Rule(r"(?i)\bretr(y|ying|ied)\b(?!-after)", None, ""),  # not an end: it goes on
    Rule(
        r"the client disconnected|the caller left|The client for which this call was made"
        r"|because its client has disconnected|the client does not read",
        Who.CLIENT,
        "The client disconnected, and the work for it was ended.",
    ),
    Rule(
        r"StreamDeadlineExceeded|was not done within|was used up|deadline had passed"
        r"|was not closed within|A call was ended by|The answer was not finished"
        r"|The model said nothing",
        Who.SERVER,
        "A deadline of the application's own ended the stream.",
        _OWN_LIMIT,
    ),
    Rule(
        r"The model's (server|answer)|AnswerCutShort|without a finish reason",
        Who.SERVER,
        "The model's server failed, so the application ended the stream.",
        _MODEL,
    ),
    Rule(
        r"Response content (shorter|longer) than Content-Length",
        Who.SERVER,
        "The application declared a length and sent less or more.",
    ),
    Rule(
        r"ASGI callable returned without|ASGI callable should return None",
        Who.SERVER,
        "The application ended without an end of its answer.",
        "Look at the middleware and the generator that make the answer.",
    ),
    Rule(
        r"Aborted request |Request \S+ aborted",
        Who.CLIENT,
        "The model's server ended a request because its client had disconnected.",
    ),
    Rule(
        r"Engine(Dead|Core)\w*Error|AsyncEngineDeadError|EngineCore encountered a fatal error"
        r"|CUDA out of memory|CUDA error",
        Who.SERVER,
        "The engine of the model's server failed.",
        "Read the log of the model's server before that time.",
    ),
    Rule(
        r"HARAKIRI ON WORKER",
        Who.SERVER,
        "uWSGI killed a worker whose request took longer than harakiri.",
        "Raise harakiri above the longest answer.",
    ),
    Rule(
        r"DAMN ! worker \d+|Main process exited, code=(killed|dumped)|segfault at",
        Who.SERVER,
        "A worker was killed.",
        "Look at the memory of the machine, and at crashes.",
    ),
    Rule(
        r"ClientDisconnect\b|ClientDisconnected|WebSocketDisconnect"
        r"|socket\.send\(\) raised exception|Cannot write to closing transport",
        Who.CLIENT,
        "The client disconnected before its answer was complete.",
    ),
    Rule(
        rf"{UPSTREAM_WORDS}.*(ConnectionResetError|BrokenPipeError|Connection reset by peer"
        r"|Broken pipe|RemoteProtocolError|ReadError|ServerDisconnected|IncompleteRead)"
        r"|\b(APIConnectionError|APITimeoutError|RemoteProtocolError|ServerDisconnectedError"
        r"|ClientOSError|ClientPayloadError|ClientConnectorError|ChunkedEncodingError|ReadTimeout"
        r"|ConnectTimeout|ProtocolError|IncompleteRead|upstream_error)\b"
        r"|peer closed connection without sending complete message body",
        Who.SERVER,
        "The application's own call, for instance to its model, failed.",
        _MODEL,
    ),
    Rule(
        r"BrokenPipeError|Broken pipe|EPIPE",
        Who.CLIENT,
        "The server wrote to a client that had disconnected.",
    ),
    Rule(
        r"ConnectionResetError|Connection reset by peer",
        None,
        "A connection of the server was reset; the line does not say whether its client's or its "
        "model's.",
    ),
    Rule(
        r"Cancel \d+ running task\(s\), timeout graceful shutdown exceeded",
        Who.SERVER,
        "The server was stopped and did not wait for the stream.",
        "Raise --timeout-graceful-shutdown above the longest answer.",
    ),
    Rule(
        r"Child process \[\d+\] died",
        Who.SERVER,
        "A worker was killed.",
        "Look at the memory of the machine, at crashes, and at --timeout-worker-healthcheck.",
    ),
    Rule(
        r"Shutting down|Received SIG(TERM|INT|HUP|BREAK), (exiting|restarting)|Reloading\.\.\."
        r"|Waiting for (connections to close|background tasks)|Application shutdown complete"
        r"|Terminated child process|Finished server process|Stopping (reloader|parent) process"
        r"|Maximum request limit of \d+ exceeded|Waiting for application shutdown",
        Who.SERVER,
        "The server was stopped or restarted.",
        is_orderly=True,
    ),
    Rule(
        r"Exception in ASGI application|Error in ASGI Framework|Unhandled exception in"
        r"|Exception on \S+ \[[A-Z]+\]|Internal Server Error: /",
        Who.SERVER,
        "The application raised an error.",
        _TRACEBACK,
    ),
    Rule(  # of another program
        r"Killed process \d+ \((?!gunicorn|uvicorn|python|vllm|VLLM|ray|hypercorn|uwsgi|granian"
        r"|node|java|ollama|llama|text-gen|sglang)",
        None,
        "",
    ),
    Rule(
        r"Killed process \d+|oom-kill|killed by the OOM killer|Out of memory: Kill|OOMKilled",
        Who.SERVER,
        "The system killed a process because memory was short.",
        "Give the container or the machine more memory, or find what uses it.",
    ),
    Rule(
        r"CancelledError",
        None,
        "The request's task was cancelled; the line does not say by which side.",
    ),
)
