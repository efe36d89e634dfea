"""Find the connection under a stream of another library: the OpenAI SDK, Anthropic's, httpx."""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable
from weakref import ref

from stream_deadline._call_group import CallGroup
from stream_deadline._shutdown import Interrupt, end_stream

# What lies between a stream and its response in the SDKs' streams, helpers, and raw responses.
_ATTRIBUTES = (
    "response",
    "_response",
    "http_response",
    "_raw_stream",
    "_iterator",
    "_stream",
    "_event_source",
)
_DEPTH = 6
# Seconds in which a generator returns whose answer has just ended.
_RETURNS = 0.5
_warned: set[type] = set()


@runtime_checkable
class Interruptible(Protocol):
    """A stream that can be ended from another thread: a `BoundedIterator`."""

    def interrupt(self) -> None: ...


def interrupter(stream: Any, calls: CallGroup, *, blocking: bool) -> Interrupt:
    """Return a function that ends the connection under `stream`.

    The connection is looked for only when the function is called, since a generator may open it
    later.

    Args:
        stream: the source.
        calls: the group of the calls that the source makes itself; they are ended as well.
        blocking: whether nothing else can end the source, so that a warning is due when no
            connection is found.
    """

    def interrupt(in_use: bool) -> None:
        found = calls.has_calls
        calls.end()
        for each in _find_open(stream):
            found = True
            if hasattr(each, "interrupt"):
                each.interrupt()
            elif "stream_id" not in each.extensions:
                end_stream(each.extensions["network_stream"], in_use)
        if not found and blocking and in_use and not _has_ended(stream):
            _warn_of(stream)

    return interrupt


def _find_open(stream: Any) -> list[Any]:
    """Return the open response that `stream` reads from, or the bounded stream around one.

    The list is empty if there is none, or more than one: the response that a generator waits for
    cannot be told from the others that it knows.
    """
    seen: set[int] = set()
    found: list[Any] = []
    level = [stream]
    for _ in range(_DEPTH):
        for each in level:
            is_open_response = _is_response(each) and not each.is_closed
            if isinstance(each, Interruptible) or is_open_response:
                found.append(each)
        seen.update(id(each) for each in level)
        rest = [each for each in level if not any(each is one for one in found)]
        inner = {id(inside): inside for each in rest for inside in _inside(each)}
        level = [each for key, each in inner.items() if key not in seen]
    return found if len(found) == 1 else []


def _has_ended(stream: Any) -> bool:
    """Tell whether the answer under `stream` ended in this moment: its own response is closed.

    A generator's closed response says nothing. It may wait for another one.
    """
    level = [stream]
    for _ in range(_DEPTH):
        if any(_is_response(each) and each.is_closed for each in level):
            return True
        inner = {id(inside): inside for each in level for inside in _in_attributes(each)}
        level = list(inner.values())
    return False


def _is_response(thing: Any) -> bool:
    extensions = getattr(thing, "extensions", None)
    has_stream = isinstance(extensions, dict) and "network_stream" in extensions
    return has_stream and hasattr(thing, "is_closed")


def _inside(thing: Any) -> Iterator[Any]:
    """Yield what may hold the response: known attributes, and the variables of a generator."""
    yield from _in_attributes(thing)
    frame = getattr(thing, "gi_frame", None) or getattr(thing, "ag_frame", None)
    if frame is not None:
        yield from list(frame.f_locals.values())
    for running in ("gi_yieldfrom", "ag_await"):
        if (inner := getattr(thing, running, None)) is not None:
            yield inner


def _in_attributes(thing: Any) -> Iterator[Any]:
    for name in _ATTRIBUTES:
        try:
            inner = getattr(thing, name, None)
        except Exception:  # a property that cannot be read yet
            continue
        if inner is not None and not isinstance(inner, (str, bytes, int)):
            yield inner


def _warn_of(stream: Any) -> None:
    """Warn of a stream that waits; of a generator only a moment later.

    Its answer may have ended just now, which its closed response does not tell. Then it returns.
    """
    if type(stream) in _warned:
        return
    if not hasattr(stream, "gi_running"):
        _warn_once(type(stream))
        return
    waiting = ref(stream)

    def warn() -> None:
        if getattr(waiting(), "gi_running", False):
            _warn_once(type(waiting()))

    later = threading.Timer(_RETURNS, warn)
    later.name, later.daemon = "stream-deadline warning", True
    with contextlib.suppress(RuntimeError):  # no thread can be started
        later.start()


def _warn_once(kind: type) -> None:
    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(
            f"The deadline of a {kind.__module__}.{kind.__qualname__} passed while the stream was "
            "waiting, and no HTTP connection was found under it. The stream goes on until its next "
            "item comes. Pass `interrupt=` to `bounded_sync` to say how it can be ended at once.",
            RuntimeWarning,
            stacklevel=2,
        )
