"""The request that the doctor sends: an address, a method, headers and a body."""

import json
import os
import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx2

from stream_lab.errors import LabError
from stream_lab.experiment.endpoint import KEY_VARIABLE, chosen_model
from stream_lab.http.client import direct_client

# A short answer, and no `max_tokens`, to see whether anything else ends an endless answer.
QUESTION = "Count from one to forty, in words."


class TargetError(LabError):
    """Raised when no request can be made; the text says what to write."""


@dataclass(frozen=True)
class Target:
    """One request.

    Attributes:
        url: the address.
        method: the HTTP method.
        body: the bytes to send.
        headers: names and values.
        chat: whether it requests a chat completion, so that the answer must be a stream of events.
        tls: whether the address begins with https.
        host: the host's name or address.
        port: the port, from the address or by default.
        path: the path, with the query.
    """

    url: str
    method: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    chat: bool = False
    tls: bool = field(init=False)
    host: str = field(init=False)
    port: int = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            raise TargetError(f"The port in '{self.url}' must be a number up to 65535.") from None
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or re.search(r"[\s\x00-\x1f]", self.url)
        ):
            raise TargetError(f"'{self.url}' is not an address; write it as http://host:8000/v1.")
        if parts.username or parts.password:
            raise TargetError(
                f"An address must not hold a password; give the key in {KEY_VARIABLE}."
            )
        object.__setattr__(self, "tls", parts.scheme == "https")
        object.__setattr__(self, "host", parts.hostname)
        object.__setattr__(self, "port", port or (443 if parts.scheme == "https" else 80))
        object.__setattr__(
            self, "path", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        )

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def at(self, root: str) -> "Target":
        """Return the same request to another server; `root` is its address without a path."""
        return replace(self, url=root.rstrip("/") + self.path)

    @classmethod
    def of(cls, url: str, *, post: str | None = None, model: str | None = None) -> "Target":
        """Make the request for an address: a chat completion if it ends in /v1.

        The key in the variable OPENAI_API_KEY is sent only to addresses that end in /v1.

        Args:
            url: the address.
            post: JSON to send by POST. None: send GET. Not for addresses that end in /v1.
            model: the name of the model, required where the address ends in /v1.

        Raises:
            TargetError: `url` is not an address, or `post` is not JSON.
        """
        if not url.rstrip("/").endswith("/v1"):
            if post is None:
                return cls(url, "GET")
            try:
                json.loads(post)
            except ValueError as error:
                raise TargetError(f"The body to post is not JSON: {error}.") from None
            return cls(url, "POST", post.encode(), (("content-type", "application/json"),))
        if post is not None:
            raise TargetError(
                "The doctor requests a chat completion from an address that ends in /v1; "
                "leave out the JSON to post."
            )
        request: dict[str, Any] = {
            "model": model or "",
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
        }
        key = os.environ.get(KEY_VARIABLE)
        authorization = (("authorization", f"Bearer {key}"),) if key else ()
        headers = (("content-type", "application/json"), *authorization)
        return cls(
            f"{url.rstrip('/')}/chat/completions",
            "POST",
            json.dumps(request).encode(),
            headers,
            chat=True,
        )


def only_model(url: str) -> str:
    """Return the name of a server's only model. Empty: no answer, or a refusal.

    Args:
        url: the address, which ends in /v1.

    Raises:
        EndpointError: the server does not list exactly one model; the text says what to do.
    """
    key = os.environ.get(KEY_VARIABLE)
    try:
        with direct_client(
            timeout=10, headers={"authorization": f"Bearer {key}"} if key else {}
        ) as client:
            answer = client.get(f"{url.rstrip('/')}/models")
    except httpx2.HTTPError:
        return ""
    return "" if answer.status_code in (401, 403) else chosen_model(answer, None, url)
