"""The request that the doctor sends: an address, a method, headers and a body."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from stream_lab.errors import LabError
from stream_lab.experiment.endpoint import KEY_VARIABLE, chosen_model, key_of
from stream_lab.http.address import NotAnAddress, parts_of, quotable, sent
from stream_lab.http.client import direct_client
from stream_lab.http.small_page import SmallPages

# A short answer, and no `max_tokens`, to see whether anything else ends an endless answer.
MODELS_WITHIN = 10.0  # seconds for the list of a server's models
QUESTION = "Count from one to forty, in words."

Headers = tuple[tuple[str, str], ...]
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
"""The default port of each scheme."""


class TargetError(LabError):
    """Raised when no request can be made; the text says what to write."""


@dataclass(frozen=True)
class Target:
    """One request.

    Attributes:
        url: the address, as it is sent.
        method: the HTTP method. A WebSocket's handshake is a GET.
        body: the bytes to send; over a WebSocket, the first message. Empty: none.
        headers: names in lower case, and values. They may be secret.
        chat: whether it requests a chat completion, so that the answer must be a stream of events.
        insecure: whether any certificate is accepted.
        tls: whether the address begins with https or wss.
        socket: whether the address is a WebSocket's.
        host: the host's name or address.
        port: the port, from the address or by default.
        path: the path, with the query.
    """

    url: str
    method: str
    body: bytes = b""
    headers: Headers = field(default=(), repr=False)
    chat: bool = False
    insecure: bool = False
    tls: bool = field(init=False)
    socket: bool = field(init=False)
    host: str = field(init=False)
    port: int = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            parts = sent(parts_of(self.url, PORTS))
        except NotAnAddress as error:
            raise TargetError(
                f"'{quotable(self.url)}' is not an address: {error}. "
                "Write it as http://host:8000/v1."
            ) from None
        if parts.username or parts.password:
            raise TargetError(
                f"An address must not hold a password; give the key in {KEY_VARIABLE}, "
                "or another one with --header."
            )
        object.__setattr__(self, "url", parts.geturl())
        object.__setattr__(self, "tls", parts.scheme in ("https", "wss"))
        object.__setattr__(self, "socket", parts.scheme in ("ws", "wss"))
        object.__setattr__(self, "host", parts.hostname)
        object.__setattr__(self, "port", parts.port or PORTS[parts.scheme])
        object.__setattr__(
            self, "path", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        )

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def at(self, root: str) -> "Target":
        """Return the same request to another server; `root` is its address without a path."""
        root = root.rstrip("/")
        if self.socket:
            root = "ws" + root.removeprefix("http")
        return replace(self, url=root + self.path)

    @classmethod
    def of(
        cls,
        url: str,
        *,
        post: str | bytes | None = None,
        model: str | None = None,
        method: str | None = None,
        headers: Headers = (),
        insecure: bool = False,
    ) -> "Target":
        """Make the request for an address: a chat completion if it ends in /v1.

        The key in the variable OPENAI_API_KEY is sent only to addresses that end in /v1.

        Args:
            url: the address.
            post: the body to send, JSON unless `headers` have another content type; to a WebSocket,
                the first message, of any form. None: no body. Not for addresses that end in /v1.
            model: the name of the model, required where the address ends in /v1.
            method: the HTTP method. None: POST if there is a body, otherwise GET.
            headers: headers of the request, names in lower case. They replace the doctor's own.
            insecure: whether to accept any certificate.

        Raises:
            TargetError: `url` is not an address, `post` is not JSON, or `method` does not fit.
        """
        body = post.encode() if isinstance(post, str) else post
        named = {name for name, _ in headers}
        if is_socket(url):
            if method not in (None, "GET"):
                raise TargetError("A WebSocket begins with a GET; leave --method out.")
            return cls(url, "GET", body or b"", headers, insecure=insecure)
        if not is_chat(url):
            if body is None:
                return cls(url, method or "GET", b"", headers, insecure=insecure)
            if "content-type" not in named:
                try:
                    json.loads(body)
                except ValueError as error:
                    raise TargetError(f"The body to post is not JSON: {error}.") from None
                headers = (("content-type", "application/json"), *headers)
            return cls(url, method or "POST", body, headers, insecure=insecure)
        if body is not None:
            raise TargetError(
                "The doctor requests a chat completion from an address that ends in /v1; "
                "leave out the JSON to post."
            )
        if method not in (None, "POST"):
            raise TargetError("A chat completion is requested by POST; leave --method out.")
        request: dict[str, Any] = {
            "model": model or "",
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
        }
        return cls(
            f"{url.rstrip('/')}/chat/completions",
            "POST",
            json.dumps(request).encode(),
            (("content-type", "application/json"), *with_key(headers)),
            chat=True,
            insecure=insecure,
        )


def is_socket(url: str) -> bool:
    """Tell whether an address is a WebSocket's."""
    return url.lower().startswith(("ws://", "wss://"))


def is_chat(url: str) -> bool:
    """Tell whether an address is that of a model's server."""
    return url.rstrip("/").endswith("/v1") and not is_socket(url)


def with_key(headers: Headers) -> Headers:
    """Return the headers with the key of the environment, unless they have one.

    Raises:
        EndpointError: a header cannot hold the key.
    """
    if any(name == "authorization" for name, _ in headers):
        return headers
    key = key_of()
    return (("authorization", f"Bearer {key}"), *headers) if key else headers


def only_model(url: str, *, headers: Sequence[tuple[str, str]] = (), insecure: bool = False) -> str:
    """Return the name of a server's only model. Empty: no answer, or a refusal.

    Args:
        url: the address, which ends in /v1.
        headers: headers of the request.
        insecure: whether to accept any certificate.

    Raises:
        EndpointError: the server does not list exactly one model; the text says what to do.
    """
    trusted = {"verify": False} if insecure else {}
    sent = [(name.encode(), value.encode("latin-1")) for name, value in with_key(tuple(headers))]
    try:
        with direct_client(timeout=MODELS_WITHIN, headers=sent, **trusted) as client:
            pages = SmallPages(client, within=MODELS_WITHIN)
            page = pages.get(f"{url.rstrip('/')}/models")
    except httpx2.HTTPError:
        return ""
    return "" if page.status in (401, 403) else chosen_model(page, None, url)
