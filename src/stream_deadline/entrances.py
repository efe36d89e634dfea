"""The connection under a stream that others made: of the OpenAI SDK, of Anthropic's, of httpx."""

import warnings
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from stream_deadline.connection import Interrupt, end
from stream_deadline.scope import Scope

# What lies between a stream and its response in the SDKs' streams, their helpers, and raw responses.
_ON_THE_WAY = ("response", "_response", "http_response", "_raw_stream", "_iterator", "_stream", "_event_source")
_DEEPEST = 6
_told: set[type] = set()


@runtime_checkable
class Interruptible(Protocol):
    """A stream that can be ended from another thread: a `BoundedIterator`."""

    def interrupt(self) -> None: ...


def interrupter(stream: Any, calls: Scope, *, blocking: bool) -> Interrupt:
    """What ends the connection under `stream`, looked for only when it is needed: a generator may have opened it since.

    Args:
        stream: the source.
        calls: what the calls that it makes itself belong to; they are ended.
        blocking: whether nothing else can end it, so that it has to be said when there is nothing to end.
    """

    def interrupt(in_use: bool) -> None:
        known = calls.has_calls
        calls.end()
        for each in _below(stream):
            known = True
            if hasattr(each, "interrupt"):
                each.interrupt()
            elif "stream_id" not in each.extensions:
                end(each.extensions["network_stream"], in_use)
        if not known and blocking and in_use:
            _tell_once(stream)

    return interrupt


def _below(stream: Any) -> list[Any]:
    """The open response of httpx or httpx2 that `stream` reads from, or the bounded stream around one; [] if it cannot be told."""
    seen: set[int] = set()
    found: list[Any] = []
    level = [stream]
    for _ in range(_DEEPEST):
        for each in level:
            if isinstance(each, Interruptible) or (_is_response(each) and not each.is_closed):
                found.append(each)
        seen.update(id(each) for each in level)
        inner = [inside for each in level if not any(each is one for one in found) for inside in _inside(each)]
        level = [each for each in {id(each): each for each in inner}.values() if id(each) not in seen]
    # Where a generator knows several, the one that it waits for cannot be told from the others.
    return found if len(found) == 1 else []


def _is_response(thing: Any) -> bool:
    extensions = getattr(thing, "extensions", None)
    return isinstance(extensions, dict) and "network_stream" in extensions and hasattr(thing, "is_closed")


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
