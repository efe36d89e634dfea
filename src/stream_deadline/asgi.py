"""Bound a web application's work by the client's deadline, and end it on disconnect.

    app = FastAPI()
    app.add_middleware(DeadlineMiddleware, default_timeout=60)

It works with any ASGI application and imports no framework.
"""

import logging
import warnings
from typing import Any, Literal

from stream_deadline._asgi_exchange import Exchange
from stream_deadline._asgi_socket import Socket
from stream_deadline._asgi_types import App, ASGIMessage, ASGIScope, Receive, Send
from stream_deadline._budget import seconds
from stream_deadline._error_response import ErrorResponse, error_response_for, one_line
from stream_deadline._headers import HEADER, formats_for, read_headers

__all__ = [
    "ASGIMessage",
    "ASGIScope",
    "App",
    "DeadlineMiddleware",
    "ErrorResponse",
    "Receive",
    "Send",
    "error_response_for",
]

_RENAMED = {
    "default": "default_timeout",
    "longest": "max_timeout",
    "largest_body": "max_body_bytes",
}
_UNSET: Any = object()


class DeadlineMiddleware:
    """Ends a request when its client disconnects, and when its time is up.

    A client says in `X-Timeout-Ms` how many milliseconds it will wait from now on. The time that
    has passed already is deducted, as in gRPC, so that the clocks of two machines need not agree.
    The rest is an ambient `deadline` for everything the application does, `ChatVllm` included.

    `grpc-timeout` of gRPC, and `x-envoy-expected-rq-timeout-ms` and
    `x-envoy-upstream-rq-timeout-ms` of Envoy are read too. The shortest time holds. An
    `X-Timeout-Ms` that is not valid gets status 400. One of the others may come from a proxy on the
    way, so it is ignored, with a line in the log. All of them are a client's word: a public edge
    should remove them, or rely on `max_timeout`.

    At the deadline the work is cancelled. The client gets status 504 with a JSON body. A stream of
    Server-Sent Events that has begun gets a last event, `error`, with the same JSON. Any other
    answer that has begun is cut visibly, so that no client takes half an answer for a whole one.

    The same happens for a `StreamDeadlineExceeded` that the application raises, and for errors of
    the model's server (`openai.APIError`). Their status tells the client what it can do: 502 if
    that server is down, broken or does not accept this one, 503 if it is busy, its own status if
    the request was bad. The status of a stream is sent together with its first chunk, so that a
    stream can still have such a status.

    When a client disconnects before its answer is complete, the work is cancelled at once, whether
    the application listens or not. The connections of its `ChatVllm` and `bounded` calls are closed
    first, also those of blocking calls in threads.

    Once the application has sent the last of its answer, nothing ends its work any more, neither a
    disconnect nor the deadline. Background tasks, and calls that go on, have only their own bounds.
    Work that a request starts earlier and leaves to itself belongs under `no_deadline`:

        with no_deadline():
            asyncio.create_task(save_a_summary(question))

    Put the middleware outside of middleware that hides disconnects (Starlette's
    `BaseHTTPMiddleware`) or changes bodies (GZip), and inside of middleware that adds headers for
    pages of other origins, so that those pages can read its own answers too. `add_middleware` puts
    each one outside of those before it, so add it last, except for `CORSMiddleware`:

        app.add_middleware(DeadlineMiddleware, default_timeout=60)
        app.add_middleware(
            CORSMiddleware,
            allow_origins=["https://ui.example"],
            allow_headers=["X-Timeout-Ms"],
            expose_headers=["Retry-After"],
        )

    If Starlette's `CORSMiddleware` is directly inside, or under middleware that shows what it wraps
    as `.app`, its headers are on the middleware's own answers all the same. The headers for other
    origins that an application has set already are kept when its answer is replaced. CORS headers
    of a mounted application, or of a handler that has not answered yet, cannot be seen and are not
    guessed.

    A WebSocket has a budget of the same length, by its handshake's headers or `default_timeout`.
    With `websockets="message"`, it begins with the handshake, and anew with each message that the
    application receives. Calls that begin after that have the new one, in whichever task. A call
    under way keeps the one that it began with, and a call that begins when it is used up ends at
    once. Nothing else is ended: a socket may be idle for hours. With `websockets="connection"`,
    there is one budget from the handshake to the close. At its end the connection is closed with
    code 1013 and a reason, or its handshake answered with status 504, and the work is cancelled.

    In both, the calls of a socket are ended when its client disconnects. The application is not
    cancelled then, and learns of it in `receive`. A `StreamDeadlineExceeded` or an error of the
    model's server that the application raises closes the connection: with code 1013 if it was late
    or the server busy, 1008 if the client's request was bad, and 1011 otherwise. After the
    application's own close nothing is ended any more. The middleware reads at most 16 messages or
    64 KiB ahead, so it sees a disconnect behind more than that when the application has read them.
    `max_body_bytes` does not bound messages; servers have a setting for that.

    Args:
        app: the application.
        default_timeout: seconds for a request that does not say; None: no bound.
        max_timeout: the most seconds for a request, whatever its client asks for, and also if it
            does not say. "default": the value of `default_timeout`, so that a client can shorten
            its time and not extend it. None: whatever a client asks for.
        max_body_bytes: the largest body; a larger one gets status 413. None: no bound.
        header: the name of the client's own header, in place of `X-Timeout-Ms`.
        websockets: for what a WebSocket has one budget; None: WebSockets pass untouched.
        default: the old name of `default_timeout`.
        longest: the old name of `max_timeout`.
        largest_body: the old name of `max_body_bytes`.

    Raises:
        ValueError: a number of seconds or bytes is not positive, or `websockets` is another word.
    """

    def __init__(
        self,
        app: App,
        *,
        default_timeout: float | None = None,
        max_timeout: float | Literal["default"] | None = "default",
        max_body_bytes: int | None = None,
        header: str = HEADER,
        websockets: Literal["message", "connection"] | None = "message",
        default: Any = _UNSET,
        longest: Any = _UNSET,
        largest_body: Any = _UNSET,
    ) -> None:
        default_timeout = _renamed("default", default, default_timeout)
        max_timeout = _renamed("longest", longest, max_timeout)
        max_body_bytes = _renamed("largest_body", largest_body, max_body_bytes)
        if max_body_bytes is not None and max_body_bytes <= 0:
            raise ValueError(
                f"max_body_bytes must be a positive number of bytes, or None; got {max_body_bytes}"
            )
        self.app = app
        self._max_body_bytes = max_body_bytes
        self._default = seconds("default_timeout", default_timeout)
        is_default = max_timeout == "default"
        self._max = self._default if is_default else seconds("max_timeout", max_timeout)
        if websockets not in ("message", "connection", None):
            raise ValueError(
                f'websockets must be "message", "connection" or None; got {websockets!r}'
            )
        self._websockets = websockets
        self._header = header
        self._formats = formats_for(header)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        handling: Exchange | Socket
        if scope["type"] == "http":
            handling = Exchange(self.app, scope, receive, send, self._max_body_bytes)
        elif scope["type"] == "websocket" and self._websockets is not None:
            handling = Socket(self.app, scope, receive, send, self._websockets)
        else:
            await self.app(scope, receive, send)
            return
        soonest, invalid = read_headers(scope["headers"], self._formats)
        for name, rule, got in invalid:
            text = f"{name} must be {rule}; got '{one_line(got, 40)}'."
            if name == self._header:
                await handling.refuse(ErrorResponse(400, "bad_deadline", text))
                return
            handling.log.line(logging.WARNING, f"Ignored: {text}")
        if soonest is not None and soonest[0] <= 0:
            text = f"The deadline had passed before the request came ({soonest[1]})."
            await handling.refuse(ErrorResponse(504, "deadline_exceeded", text))
            return
        limit = self._default if soonest is None else soonest[0]
        bounds = [each for each in (limit, self._max) if each is not None]
        await handling.run(min(bounds, default=None))


def _renamed(old: str, value: Any, new_value: Any) -> Any:
    """Return an argument, with a warning if its old name was used."""
    if value is _UNSET:
        return new_value
    warnings.warn(
        f"DeadlineMiddleware({old}=…) is now {_RENAMED[old]}=…; the old name is removed in 0.2.0.",
        DeprecationWarning,
        stacklevel=3,
    )
    return value
