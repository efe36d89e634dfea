"""Log what happens to one request, in lines that its client cannot forge."""

import logging
import time
from urllib.parse import quote

from stream_deadline._error_response import ErrorResponse, one_line

_log = logging.getLogger("stream_deadline.asgi")


class RequestLog:
    """The log of one request; each line has its name and age."""

    def __init__(self, method: object, path: object) -> None:
        """Note the name of the request, since an application may change its scope."""
        self._name = f"{_escaped(method)} {_escaped(path)}"
        self._began = time.monotonic()

    def line(self, level: int, text: str) -> None:
        """Log one line."""
        elapsed = time.monotonic() - self._began
        _log.log(level, "%s after %.2f s: %s", self._name, elapsed, one_line(text, 1000))

    def response(self, response: ErrorResponse, more: str = "") -> None:
        """Log a response that takes the place of the application's answer."""
        cause = "" if response.cause is None else f" ({response.cause})"
        self.line(logging.WARNING, f"{response.text}{cause}{more}")


def _escaped(text: object) -> str:
    """Return a client's text as in a URL: one word of bounded length."""
    most = 200
    return quote(str(text)[:most], "/:@!$&'()*+,;=~", errors="backslashreplace")[:most]
