"""A server in memory, without a socket, for clients of the SDK's family of httpx."""

import json
from collections.abc import Callable
from typing import Any

from stream_deadline._clients import _httpx

FAMILY = _httpx()
"""httpx or httpx2, whichever the SDK's clients are made of."""
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello"},
            "finish_reason": "stop",
        }
    ],
}
CHUNK = {
    **ANSWER,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}],
}


def sse(*events: Any) -> str:
    """The text of a stream with these events."""
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events) + "data: [DONE]\n\n"


class InMemory:
    """Answers each request, and keeps it.

    Attributes:
        requests: what came, oldest first.
        timeouts: the time-outs of each, as its transport had them.
    """

    def __init__(self, answer: Callable[[Any], Any] | None = None) -> None:
        """Answer as a function says; without one, with what is asked for."""
        self.requests: list[Any] = []
        self.timeouts: list[Any] = []
        self._answer = answer or _either

    def __call__(self, request: Any) -> Any:
        self.requests.append(request)
        self.timeouts.append(dict(request.extensions.get("timeout", {})))
        return self._answer(request)

    def client(self, **settings: Any) -> Any:
        """A synchronous client of this server."""
        return FAMILY.Client(transport=FAMILY.MockTransport(self), **settings)

    def async_client(self, **settings: Any) -> Any:
        """An asynchronous client of it."""
        return FAMILY.AsyncClient(transport=FAMILY.MockTransport(self), **settings)

    @property
    def settings(self) -> dict[str, Any]:
        """What a model of it is made of."""
        return {
            "model": "m",
            "api_key": "k",
            "base_url": "http://server/v1",
            "http_client": self.client(),
            "http_async_client": self.async_client(),
        }


def of(status: int, text: str = "", **headers: str) -> Any:
    """An answer of the SDK's family of httpx."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FAMILY.Response(status, text=text, headers=named)


def _either(request: Any) -> Any:
    if json.loads(request.content).get("stream"):
        return of(200, sse(CHUNK), content_type="text/event-stream")
    return of(200, json.dumps(ANSWER), content_type="application/json")
