"""How a `FakeVllm` asks its server: over TCP or a Unix socket, without proxies."""

import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any

from fake_vllm.testing._error import FakeVllmError


class Unreachable(FakeVllmError):
    """Raised when the fake does not listen, since it is starting or has ended."""


class Asker:
    """A client of a server's own routes, with the key of its starter."""

    def __init__(self, root: str, uds: str | None, key: str) -> None:
        """Prepare to ask; nothing is sent.

        Args:
            root: the server's address without /v1.
            uds: the path of its Unix socket. None: it listens on TCP.
            key: the key.
        """
        self._root, self._key = root, key
        # It talks to its own process on this machine, so the certificate does not matter.
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        handlers = [
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=trusting),
        ]
        unix = [] if uds is None else [_UnixHandler(uds)]
        self._opener = urllib.request.build_opener(*handlers, *unix)

    def ask(self, path: str, method: str, body: bytes | None, timeout: float) -> Any:
        """Return the JSON of an answer.

        Raises:
            FakeVllmError: the server refuses the request; the text is its own.
            Unreachable: it does not answer.
        """
        headers = {"content-type": "text/plain", "authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(  # noqa: S310
            self._root + path, body, headers, method=method
        )
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                raise FakeVllmError(_reason(refused)) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"The fake at {self._root} does not answer: {getattr(error, 'reason', error)}. It "
                "is still starting, or it has ended; `reset()` starts it again."
            ) from None


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str, host: str, timeout: Any) -> None:
        super().__init__(host, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixHandler(urllib.request.HTTPHandler):
    """Opens all addresses over one Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connect(host: str, /, *, timeout: float = 0, **more: Any) -> _UnixConnection:
            return _UnixConnection(self._path, host, timeout)

        return self.do_open(connect, req)


def _reason(refused: urllib.error.HTTPError) -> str:
    """Return the server's own sentence about what is wrong."""
    text = refused.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return f"The fake answered {refused.code}: {text or refused.reason}"
