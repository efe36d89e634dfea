"""Take a stream's chunks as the server sent them: as dicts.

The OpenAI SDK makes an object of each chunk, which LangChain turns into a dict again. That is two
thirds of what a chunk costs. The SDK still sends the request, reads the response and knows its
errors; only the last step of its streams, and the first step of their decoding, are left out. If
tracing has been put around the SDK's calls, and would meet dicts where it expects objects, nothing
is changed.
"""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import FunctionType
from typing import Any, TypeVar

import openai
from openai import AsyncStream, Stream
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.types.chat import ChatCompletionChunk

from stream_deadline._connection import ConnectionTracker, current_tracker
from stream_deadline._parts import parts_of

T = TypeVar("T")
_PACKAGE = os.path.dirname(openai.__file__) + os.sep
# How much of a stream is decoded at a time: some milliseconds' work.
PART, EVENTS = 1 << 14, 64
_REASONING, _SUMMARY = "response.reasoning_text.delta", "response.reasoning_summary_text.delta"


def completions(client: Any) -> Any:
    """Return the SDK's `chat.completions` of a client, with streams of dicts for our calls."""
    kind, dicts, objects = (
        (AsyncCompletions, _AsyncDicts, _AsyncObjects)
        if isinstance(client, openai.AsyncOpenAI)
        else (Completions, _Dicts, _Objects)
    )
    resource: Any = kind(client)
    _replace_stream(
        resource,
        lambda tracker: (dicts if tracker.raw else objects) if is_plain(resource) else None,
    )
    return resource


def hear_responses(client: Any) -> None:
    """Let streams of the Responses API report progress, and pass a model's reasoning on.

    LangChain drops the events of both.
    """
    stream = _AsyncEvents if isinstance(client, openai.AsyncOpenAI) else _Events
    _replace_stream(client.responses, lambda tracker: stream)


def hear_structured(client: Any) -> None:
    """Let streams with a schema report their finish reason before the text is read.

    Reading the text may fail.
    """
    stream = _AsyncChats if isinstance(client, openai.AsyncOpenAI) else _Chats
    for resource in (
        client.chat.completions,
        client.beta.chat.completions,
    ):  # which one depends on the SDK's version
        if hasattr(resource, "_post"):
            _replace_stream(resource, lambda tracker: stream)


def _replace_stream(resource: Any, choose: Callable[[ConnectionTracker], Any]) -> None:
    if getattr(resource._post, "ours", False):
        return
    post = resource._post

    def ours(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("stream") and (tracker := current_tracker()) is not None:
            kwargs["stream_cls"] = choose(tracker) or kwargs.get("stream_cls")
        return post(*args, **kwargs)

    ours.ours = True  # type: ignore[attr-defined]
    resource._post = ours


def is_plain(resource: Any) -> bool:
    """Return whether a call goes straight to the SDK's own code.

    This is checked at each call, since tracing may be switched on later.
    """
    client = resource._client
    return _is_sdks(resource, "create") and _is_sdks(client, "post") and _is_sdks(client, "request")


def _is_sdks(thing: Any, name: str) -> bool:
    if name in vars(thing):
        return False
    found = next((vars(each)[name] for each in type(thing).__mro__ if name in vars(each)), None)
    # Not `isinstance`: a wrapper of wrapt claims to be a function.
    return type(found) is FunctionType and found.__code__.co_filename.startswith(_PACKAGE)


class _Instead:
    """Stands in for the SDK's client when a stream decodes its events."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._tracker = current_tracker()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _make_sse_decoder(self) -> "Decoder":
        return Decoder(self._client._make_sse_decoder(), self._tracker)


class _AsDicts(_Instead):
    def _process_response_data(self, *, data: Any, response: Any, **_: Any) -> Any:
        if _is_complete(data):
            return data
        return self._client._process_response_data(
            data=data, cast_to=ChatCompletionChunk, response=response
        )


def _is_complete(data: Any) -> bool:
    """Return whether the SDK's object of a chunk would add nothing to the chunk.

    The object has every field, if only as None. If LangChain needs one that the server has left
    out, the object is made.
    """
    if data.__class__ is not dict or data.get("usage") == {}:
        return False
    choices = data.get("choices")
    if choices.__class__ is not list:
        return False
    if not choices:
        return True
    first = choices[0]
    if first.__class__ is not dict or first.get("logprobs"):
        return False
    delta = first.get("delta")
    if delta.__class__ is not dict or delta.get("function_call"):
        return False
    return not (calls := delta.get("tool_calls")) or _fill_in(calls)


def _fill_in(calls: Any) -> bool:
    """Give tool calls the fields that the SDK's objects have.

    Returns:
        Whether they have the fields that cannot be filled in.
    """
    for call in calls:
        function = call.get("function") if call.__class__ is dict and "index" in call else None
        if function.__class__ is not dict:
            return False
        for thing, names in ((call, ("id", "type")), (function, ("arguments", "name"))):
            for name in names:
                thing.setdefault(name, None)
    return True


class _AsEvents(_Instead):
    def _process_response_data(self, *, data: Any, **more: Any) -> Any:
        kind = data.get("type") if isinstance(data, dict) else None
        if isinstance(kind, str) and kind.endswith(".delta") and data.get("delta"):
            if self._tracker is not None:
                self._tracker.on_progress()
            if kind == _REASONING:
                # LangChain knows reasoning in summaries only; vLLM sends the reasoning itself.
                data = {**data, "type": _SUMMARY, "summary_index": data.get("content_index", 0)}
        elif kind == "response.incomplete":
            # The answer reached its token limit, so it is at its end. LangChain before 1.0 knows no
            # other end than this one.
            data = {**data, "type": "response.completed"}
        return self._client._process_response_data(data=data, **more)


class _AsChats(_Instead):
    def _process_response_data(self, *, data: Any, **more: Any) -> Any:
        choices = data.get("choices") if isinstance(data, dict) else None
        ends = isinstance(choices, list) and any(
            isinstance(each, dict) and each.get("finish_reason") for each in choices
        )
        if ends and self._tracker is not None:
            self._tracker.on_finish()
        return self._client._process_response_data(data=data, **more)


class _Dicts(Stream[dict]):  # type: ignore[type-arg]
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsDicts(client), **more)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return self._iterator


def _tells(kind: type[T]) -> type[T]:
    """Have a class of asynchronous streams tell the call of its generators, outer ones first.

    It is no base class, since the SDK reads the type of a chunk from the first one.
    """

    def telling(make: Callable[[T], Any]) -> Callable[[T], Any]:
        def make_and_tell(stream: T) -> Any:
            generator = make(stream)
            if (tracker := current_tracker()) is not None:
                tracker.generators.append(generator)
            return generator

        return make_and_tell

    for name in ("__stream__", "_iter_events"):
        setattr(kind, name, telling(getattr(kind, name)))
    return kind


@_tells
class _AsyncDicts(AsyncStream[dict]):  # type: ignore[type-arg]
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsDicts(client), **more)  # type: ignore[arg-type]

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterator


class _Objects(Stream[ChatCompletionChunk]):
    """What the SDK makes itself, decoded in parts."""

    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_Instead(client), **more)  # type: ignore[arg-type]


@_tells
class _AsyncObjects(AsyncStream[ChatCompletionChunk]):
    """The same, asynchronously."""

    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_Instead(client), **more)  # type: ignore[arg-type]


class _Events(Stream[openai.types.responses.ResponseStreamEvent]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsEvents(client), **more)  # type: ignore[arg-type]


@_tells
class _AsyncEvents(AsyncStream[openai.types.responses.ResponseStreamEvent]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsEvents(client), **more)  # type: ignore[arg-type]


class _Chats(Stream[ChatCompletionChunk]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsChats(client), **more)  # type: ignore[arg-type]


@_tells
class _AsyncChats(AsyncStream[ChatCompletionChunk]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsChats(client), **more)  # type: ignore[arg-type]


class Event:
    """One event, with what the SDK's streams read of it."""

    __slots__ = ("data",)
    event = None

    def __init__(self, data: str) -> None:
        self.data = data

    def json(self) -> Any:
        return json.loads(self.data)


class Decoder:
    """Decodes Server-Sent Events of one form: `data: …` and an empty line.

    From any other form on, the SDK's own decoder takes over.

    A piece can be megabytes, since a few kilobytes of gzip unpack to that. If its events become no
    chunk, this is the only place that can end the call meanwhile, or let the event loop run.
    """

    def __init__(self, exact: Any, tracker: ConnectionTracker | None = None) -> None:
        """Wrap `exact`, the SDK's decoder.

        Args:
            exact: likewise.
            tracker: of the call; None: a call of other code, which nothing ends.
        """
        self._exact = exact
        self._tracker = tracker
        self._pieces: list[bytes] = []
        self._over: bytes | None = None
        self._events_read = 0

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
        """Yield the events of a stream.

        Raises:
            TimeoutError: the call is over.
        """
        for event in self._iter_all(self._parts(iterator)):
            self._look()
            yield event

    def _iter_all(self, parts: Iterator[bytes]) -> Iterator[Any]:
        for part in parts:
            yield from self._events(part)
            if self._over is not None:
                yield from self._exact.iter_bytes(
                    itertools.chain(self._parts(iter([self._over])), parts)
                )
                return
        yield from self._exact.iter_bytes(self._parts(iter(self._pieces)))

    def _parts(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            for part in parts_of(piece, PART):
                self._look()
                yield part

    def _look(self) -> None:
        if self._tracker is not None and self._tracker.is_ended:
            raise TimeoutError("The call is over, and what its server has sent is not read.")

    def _should_pause(self) -> bool:
        self._events_read += 1
        return self._events_read % EVENTS == 0

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the events of a stream; the event loop runs now and then."""
        kept: Iterable[bytes] = self._pieces
        async for piece in iterator:
            parts = iter(parts_of(piece, PART))
            for part in parts:
                for event in self._events(part):
                    if self._should_pause():
                        await asyncio.sleep(0)
                    yield event
                if self._over is not None:
                    break
                if part is not piece:
                    await asyncio.sleep(0)
            if self._over is not None:
                kept = itertools.chain(parts_of(self._over, PART), parts)
                break
        async for event in self._exact.aiter_bytes(_aafter(kept, iterator)):
            if self._should_pause():
                await asyncio.sleep(0)
            yield event

    def _events(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that are complete now; set `_over` if the simple form ends."""
        if not piece:
            return
        pieces = self._pieces
        if (
            b"\n\n" not in piece
            and not (pieces and piece[:1] == b"\n" and pieces[-1][-1:] == b"\n")
            and b"\r" not in piece
        ):
            pieces.append(piece)
            return
        whole = b"".join((*pieces, piece))
        pieces.clear()
        blocks = whole.split(b"\n\n")
        for number, block in enumerate(blocks[:-1]):
            if b"\n" in block or b"\r" in block or not block.startswith(b"data: "):
                if block.startswith(b":") and b"\n" not in block and b"\r" not in block:
                    continue  # a comment, by which servers keep a connection alive
                self._over = b"\n\n".join(blocks[number:])
                return
            yield Event(block.decode()[6:])
        if b"\r" in blocks[-1]:
            self._over = blocks[-1]
        elif blocks[-1]:
            pieces.append(blocks[-1])


async def _aafter(parts: Iterable[bytes], others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)
    async for piece in others:
        for part in parts_of(piece, PART):
            yield part
            if part is not piece:
                await asyncio.sleep(0)
