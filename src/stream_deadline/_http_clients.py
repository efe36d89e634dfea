"""Find the HTTP clients inside an SDK's client or a model, and wrap their transports.

The names that lead there are private: `_transport` and `_mounts` of httpx, and those of the SDKs.
Tests check that they exist.
"""

import re
from functools import cached_property
from typing import Any

from stream_deadline._budget import Bounds
from stream_deadline._network import pool_under
from stream_deadline._transport import wrap

# How SDKs name what leads to their HTTP client: `_client` (OpenAI, Anthropic, Groq),
# `sdk_configuration.async_client` (Mistral), `_client_wrapper.httpx_client` (Cohere),
# `_api_client._httpx_client` (Google), `_http_client` (LlamaIndex), `provider` (pydantic-ai).
_LEADS_THERE = re.compile("client|sdk_configuration|provider", re.IGNORECASE)
_DEPTH = 5
_LIBRARIES, _CLIENTS = ("httpx", "httpx2"), ("Client", "AsyncClient")


def http_clients(thing: Any) -> list[Any]:
    """Return the httpx or httpx2 clients that an object is or has."""
    found: list[Any] = []
    level, seen = [thing], {id(thing)}
    for _ in range(_DEPTH):
        below: list[Any] = []
        for each in level:
            if is_http_client(each):
                found.append(each)
                continue
            for inner in _attributes(each):
                if id(inner) not in seen:
                    seen.add(id(inner))
                    below.append(inner)
        level = below
    return found


def is_http_client(thing: Any) -> bool:
    """Return whether it is a client of httpx or httpx2, which has transports."""
    bases = {(each.__module__.partition(".")[0], each.__name__) for each in type(thing).__mro__}
    is_httpxs = any((library, name) in bases for library in _LIBRARIES for name in _CLIENTS)
    return is_httpxs and hasattr(thing, "_transport") and hasattr(thing, "_mounts")


def _attributes(thing: Any) -> list[Any]:
    """Return the attributes that may lead to an HTTP client, with cached properties."""
    if isinstance(thing, (type, str, bytes)):
        return []
    private = getattr(thing, "__pydantic_private__", None)
    values = {**(private if isinstance(private, dict) else {}), **getattr(thing, "__dict__", {})}
    found = [value for name, value in values.items() if _LEADS_THERE.search(name)]
    for name in dir(type(thing)):
        # LangChain's model of Anthropic makes its clients in cached properties.
        is_made_later = isinstance(getattr(type(thing), name, None), cached_property)
        if is_made_later and name not in values and name.endswith("client"):
            try:
                found.append(getattr(thing, name))
            except Exception:  # it cannot be made without a key, for instance
                continue
    return [value for value in found if value is not None]


def transports(http: Any) -> list[Any]:
    """Return the transports of an HTTP client, those of its mounts included."""
    own = [getattr(http, "_transport", None), *getattr(http, "_mounts", {}).values()]
    return [each for each in own if each is not None]


def pools(http: Any) -> list[Any]:
    """Return the pools of httpcore under an HTTP client."""
    found = [pool_under(each) for each in transports(http)]
    return [each for each in found if each is not None]


def wrap_transports(http: Any, bounds: Bounds | None) -> None:
    """Put a bounded transport around each transport of an HTTP client; see `wrap`."""
    http._transport = wrap(http._transport, bounds)
    for pattern, transport in list(http._mounts.items()):
        if transport is not None:  # a mount that says: no proxy here
            http._mounts[pattern] = wrap(transport, bounds)


def report_to_calls(http: Any) -> None:
    """Let an HTTP client report to a model's calls which connection each uses.

    It changes nothing for calls of other code. Once is enough; a second time changes nothing.

    Raises:
        ValueError: the client speaks HTTP/2, where calls share a connection and httpcore cannot end
            one of them.
    """
    if not is_http_client(http):
        return
    if any(getattr(pool, "_http2", False) for pool in pools(http)):
        raise ValueError(
            "This HTTP client speaks HTTP/2 (http2=True), where calls share a connection and none "
            "of them can be ended without the others. Make the client with http2=False."
        )
    wrap_transports(http, None)
