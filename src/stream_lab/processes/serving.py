"""A web application in the notebook's own process, behind a real uvicorn."""

import logging
import re
import socket
import threading
from types import TracebackType
from typing import Any, Self

from stream_lab.extras import require

# The handler stands at the root, so that no message of LangChain, the middleware or uvicorn reaches
# a notebook. It also stands at uvicorn's own logger, which passes nothing on once another server of
# this process has configured it.
LOGGERS = (None, "uvicorn", "uvicorn.access")
ACCESS = re.compile(r' - (".*)$')
"""A line of the access log: an address, a dash, the request in quotes, and its status."""


class Serving:
    """An application that is being served until `close()`.

    Attributes:
        url: its address.
        log: the warnings that were logged in its thread.
        access_log: the lines of uvicorn's access log, without the clients' addresses.
    """

    def __init__(self, app: Any, *, port: int = 0, **options: Any) -> None:
        """Serve the application in a thread with its own event loop.

        Args:
            app: the application.
            port: the port. 0: a free one.
            options: options of uvicorn.

        Raises:
            MissingExtra: uvicorn is not installed.
        """
        require("uvicorn", extra="relay")
        import uvicorn

        self.log: list[str] = []
        self.access_log: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", port), backlog=2048)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        usual: dict[str, Any] = {
            "log_config": None,
            "log_level": "info",  # for the access log
            "timeout_graceful_shutdown": 0.3,
        }
        self._server = uvicorn.Server(uvicorn.Config(app, **{**usual, **options}))
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )
        self._handler = _Keep(self.log, self.access_log, self._thread)
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._handler)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; a stream that still runs has 0.3 s to end."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(app: Any, **options: Any) -> Serving:
    """Serve an ASGI application on a free port of this machine; `options` are uvicorn's."""
    return Serving(app, **options)


class _Keep(logging.Handler):
    """A handler that keeps the messages of one thread."""

    def __init__(self, lines: list[str], accesses: list[str], thread: threading.Thread) -> None:
        super().__init__(logging.INFO)
        self._lines, self._accesses, self._thread = lines, accesses, thread
        self._last: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread.ident or record is self._last:
            return
        self._last = record
        if record.levelno < logging.WARNING:
            if (line := ACCESS.search(record.getMessage())) is not None:
                self._accesses.append(line[1])
            return
        self._lines.append(record.getMessage().strip())
        if record.exc_info and (error := record.exc_info[1]) is not None:
            self._lines.append(f"{type(error).__name__}: {error}")
