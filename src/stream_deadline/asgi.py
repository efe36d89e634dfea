"""Bound a web application's work by the client's deadline, and end it on disconnect.

    app = FastAPI()
    app.add_middleware(DeadlineMiddleware, default_timeout=60)

It works with any ASGI application and imports no framework.
"""

import re
import warnings
from collections.abc import Iterable
from typing import Any, Literal

from stream_deadline._asgi_exchange import Exchange
from stream_deadline._asgi_types import App, ASGIMessage, ASGIScope, Receive, Send
from stream_deadline._budget import seconds
from stream_deadline._error_response import ErrorResponse, error_response_for, one_line
from stream_deadline._headers import HEADER

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

_MILLISECONDS = re.compile(r"-?[0-9]{1,8}")
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

    A WebSocket passes untouched.

    Args:
        app: the application.
        default_timeout: seconds for a request that does not say; None: no bound.
        max_timeout: the most seconds for a request, whatever its client asks for, and also if it
            does not say. "default": the value of `default_timeout`, so that a client can shorten
            its time and not extend it. None: whatever a client asks for.
        max_body_bytes: the largest body; a larger one gets status 413. None: no bound.
        header: the name of the header.
        default: the old name of `default_timeout`.
        longest: the old name of `max_timeout`.
        largest_body: the old name of `max_body_bytes`.

    Raises:
        ValueError: a number of seconds or bytes is not positive.
    """

    def __init__(
        self,
        app: App,
        *,
        default_timeout: float | None = None,
        max_timeout: float | Literal["default"] | None = "default",
        max_body_bytes: int | None = None,
        header: str = HEADER,
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
        self._header = header
        self._header_bytes = header.lower().encode("latin-1")

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self.app, scope, receive, send, self._max_body_bytes)
        try:
            limit = self._limit(scope["headers"])
        except ValueError as error:
            await exchange.refuse(ErrorResponse(400, "bad_deadline", str(error)))
            return
        if limit is not None and limit <= 0:
            text = f"The deadline had passed before the request came ({self._header})."
            await exchange.refuse(ErrorResponse(504, "deadline_exceeded", text))
            return
        await exchange.run(limit)

    def _limit(self, headers: Iterable[tuple[bytes, bytes]]) -> float | None:
        """Return the seconds that a request may take; zero or less: its deadline has passed.

        Returns:
            None if there is no bound.

        Raises:
            ValueError: the header is not valid.
        """
        values = [
            value.decode("latin-1").strip(" \t")
            for name, value in headers
            if name.lower() == self._header_bytes
        ]
        limit = self._default
        if values:
            if len(values) > 1 or not _MILLISECONDS.fullmatch(values[0]):
                got = one_line(", ".join(values), 40)
                raise ValueError(
                    f"{self._header} must be one whole number of milliseconds, of at most 8 "
                    f"digits; got '{got}'."
                )
            limit = int(values[0]) / 1000
        bounds = [each for each in (limit, self._max) if each is not None]
        return min(bounds, default=None)


def _renamed(old: str, value: Any, new_value: Any) -> Any:
    """Return an argument, with a warning if its old name was used."""
    if value is _UNSET:
        return new_value
    warnings.warn(
        f"DeadlineMiddleware({old}=…) is now {_RENAMED[old]}=…; "
        "the old name goes in the next version.",
        DeprecationWarning,
        stacklevel=3,
    )
    return value
