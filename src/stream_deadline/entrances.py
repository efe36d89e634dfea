"""The connection under a stream that others made: of the OpenAI SDK, of Anthropic's, of httpx."""

import warnings
from collections.abc import Iterator
from typing import Any

from stream_deadline.connection import Interrupt, end

# What lies between a stream and its response in the SDKs' streams, their helpers, and raw responses.
_ON_THE_WAY = ("response", "_response", "http_response", "_raw_stream", "_iterator", "_stream", "_event_source")
_DEEPEST = 6
_told: set[type] = set()


def interrupter(stream: Any, *, blocking: bool) -> Interrupt:
    """What ends the connection under `stream`, looked for only when it is needed: a generator may have opened it since.

    `blocking`: whether nothing else can end it, so that it has to be said when there is none.
    """

    def interrupt(in_use: bool) -> None:
        response = response_of(stream)
        if response is None:
            if blocking and in_use:
                _tell_once(stream)
        elif not response.is_closed and "stream_id" not in response.extensions:
            end(response.extensions["network_stream"], in_use)

    return interrupt


def response_of(stream: Any) -> Any:
    """The response of httpx or httpx2 that `stream` reads from; None: none is found."""
    seen: set[int] = set()
    level = [stream]
    for _ in range(_DEEPEST):
        for each in level:
            if getattr(each, "extensions", None) and "network_stream" in each.extensions and hasattr(each, "is_closed"):
                return each
        seen.update(id(each) for each in level)
        level = [inner for each in level for inner in _inside(each) if id(inner) not in seen]
    return None


def _inside(thing: Any) -> Iterator[Any]:
    """What may hold the response: the attributes that are known to, and the variables of a generator."""
    for name in _ON_THE_WAY:
        try:
            inner = getattr(thing, name, None)
        except Exception:  # a property that is not to be asked yet
            continue
        if inner is not None and not isinstance(inner, (str, bytes, int)):
            yield inner
    frame = getattr(thing, "gi_frame", None) or getattr(thing, "ag_frame", None)
    if frame is not None:
        yield from list(frame.f_locals.values())
    for running in ("gi_yieldfrom", "ag_await"):
        if (inner := getattr(thing, running, None)) is not None:
            yield inner


def _tell_once(stream: Any) -> None:
    kind = type(stream)
    if kind not in _told:
        _told.add(kind)
        warnings.warn(
            f"The deadline of a {kind.__module__}.{kind.__qualname__} passed while it was waited for, and no HTTP connection was "
            "found under it, so that it goes on until it gives its next item. Pass `interrupt=` to `bounded_sync` to say how it is "
            "ended at once.",
            RuntimeWarning,
            stacklevel=2,
        )
