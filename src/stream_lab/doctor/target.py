"""What is asked: an address, and what to send there."""

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

# A short answer, and no `max_tokens`: whether anything else ends a model that babbles is one of the questions.
QUESTION = "Count from one to forty, in words."


class TargetError(LabError):
    """Raised when this cannot be asked at all; the text says what to write instead."""


@dataclass(frozen=True)
class Target:
    """One request. `chat`: whether it asks a model by OpenAI's protocol, so that its answer is known to be one of events."""

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
            raise TargetError(f"'{self.url}' has no port that is a number.") from None
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or re.search(r"[\s\x00-\x1f]", self.url)
        ):
            raise TargetError(f"'{self.url}' is no address; write it as http://host:8000/v1.")
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
        """Return the same request to another server. `root`: its address, without a path."""
        return replace(self, url=root.rstrip("/") + self.path)

    @classmethod
    def of(cls, url: str, *, post: str | None = None, model: str | None = None) -> "Target":
        """Make the request for an address: a model's if it ends in /v1, else a plain one.

        `post`: JSON to send there by POST; None: GET. `model`: the model's name; it must be given or found before a model is asked.
        The key comes from the environment variable OPENAI_API_KEY and goes nowhere else than to an address of that kind.

        Raises:
            TargetError: it is no address, or `post` is no JSON.
        """
        if not url.rstrip("/").endswith("/v1"):
            if post is None:
                return cls(url, "GET")
            try:
                json.loads(post)
            except ValueError as error:
                raise TargetError(f"What to post is no JSON: {error}.") from None
            return cls(url, "POST", post.encode(), (("content-type", "application/json"),))
        if post is not None:
            raise TargetError(
                "An address that ends in /v1 is asked for a chat completion; leave out what to post."
            )
        asked: dict[str, Any] = {
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
            json.dumps(asked).encode(),
            headers,
            chat=True,
        )


def only_model(url: str) -> str:
    """Return the name of a server's only model; empty: it does not answer, or wants a key.

    Args:
        url: ends in /v1.

    Raises:
        EndpointError: it has none or several, or does not say; the text says what to do.
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
