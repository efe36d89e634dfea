"""A stream's chunks as the server sent them: dicts, where the OpenAI SDK makes an object of each that LangChain takes apart again.

Two thirds of what a chunk costs is that. The SDK still sends the request, reads the response and knows its errors; only the last
step of its streams, and the first one of their decoding, are left out. Where something watches the SDK's calls, and would find
dicts where it expects objects, nothing is changed.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from types import FunctionType
from typing import Any

import openai
from openai import AsyncStream, Stream
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.types.chat import ChatCompletionChunk

from stream_deadline.connection import Line, current

_PACKAGE = os.path.dirname(openai.__file__) + os.sep
_THOUGHT, _SUMMARY = "response.reasoning_text.delta", "response.reasoning_summary_text.delta"


def completions(client: Any) -> Any:
    """The SDK's `chat.completions` of this client, whose streams give dicts to calls of ours that want them."""
    kind, stream = (AsyncCompletions, _AsyncDicts) if isinstance(client, openai.AsyncOpenAI) else (Completions, _Dicts)
    resource: Any = kind(client)
    _replace_stream(resource, lambda line: stream if line.raw and is_plain(resource) else None)
    return resource


def hear_responses(client: Any) -> None:
    """Have the streams of the Responses API tell what they say that LangChain drops, and pass on a model's own thoughts."""
    stream = _AsyncEvents if isinstance(client, openai.AsyncOpenAI) else _Events
    _replace_stream(client.responses, lambda line: stream)


def hear_structured(client: Any) -> None:
    """Have the streams that answer with a schema tell of their end before the whole text is read, which may fail."""
    stream = _AsyncChats if isinstance(client, openai.AsyncOpenAI) else _Chats
    for resource in (
        client.chat.completions,
        client.beta.chat.completions,
    ):  # which of them sends it depends on the SDK's version
        if hasattr(resource, "_post"):
            _replace_stream(resource, lambda line: stream)


def _replace_stream(resource: Any, choose: Callable[[Line], Any]) -> None:
    if getattr(resource._post, "ours", False):
        return
    post = resource._post

    def ours(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("stream") and (line := current()) is not None:
            kwargs["stream_cls"] = choose(line) or kwargs.get("stream_cls")
        return post(*args, **kwargs)

    ours.ours = True  # type: ignore[attr-defined]
    resource._post = ours


def is_plain(resource: Any) -> bool:
    """Whether nothing stands between a call and the SDK's own code: asked at each call, since tracing may be switched on later."""
    client = resource._client
    return _is_sdks(resource, "create") and _is_sdks(client, "post") and _is_sdks(client, "request")


def _is_sdks(thing: Any, name: str) -> bool:
    if name in vars(thing):
        return False
    found = next((vars(each)[name] for each in type(thing).__mro__ if name in vars(each)), None)
    # Not `isinstance`: what wrapt puts around a function says that it is one.
    return type(found) is FunctionType and found.__code__.co_filename.startswith(_PACKAGE)


class _Instead:
    """Stands for the SDK's client where a stream asks how to decode it and what to make of each event."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _AsDicts(_Instead):
    def _make_sse_decoder(self) -> "Decoder":
        return Decoder(self._client._make_sse_decoder())

    def _process_response_data(self, *, data: Any, response: Any, **_: Any) -> Any:
        if _is_told_in_full(data):
            return data
        return self._client._process_response_data(data=data, cast_to=ChatCompletionChunk, response=response)


def _is_told_in_full(data: Any) -> bool:
    """Whether the SDK's object of a chunk would tell LangChain no more than the chunk itself.

    The object has every field, if only as None. Where LangChain would miss one that the server has left out, the object is made.
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
    """Give the calls of tools the fields that the SDK's objects have; False: they lack what they cannot be without."""
    for call in calls:
        function = call.get("function") if call.__class__ is dict and "index" in call else None
        if function.__class__ is not dict:
            return False
        for thing, names in ((call, ("id", "type")), (function, ("arguments", "name"))):
            for name in names:
                thing.setdefault(name, None)
    return True


class _AsEvents(_Instead):
    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._line = current()

    def _process_response_data(self, *, data: Any, **more: Any) -> Any:
        kind = data.get("type") if isinstance(data, dict) else None
        if isinstance(kind, str) and kind.endswith(".delta") and data.get("delta"):
            if self._line is not None:
                self._line.said()
            if kind == _THOUGHT:
                # LangChain knows of thoughts in summaries only. vLLM sends those that a model had.
                data = {**data, "type": _SUMMARY, "summary_index": data.get("content_index", 0)}
        elif kind == "response.incomplete":
            # An answer that has reached its longest is at its end. LangChain before 1.0 knows of no other end than this one.
            data = {**data, "type": "response.completed"}
        return self._client._process_response_data(data=data, **more)


class _AsChats(_Instead):
    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._line = current()

    def _process_response_data(self, *, data: Any, **more: Any) -> Any:
        choices = data.get("choices") if isinstance(data, dict) else None
        ends = isinstance(choices, list) and any(isinstance(each, dict) and each.get("finish_reason") for each in choices)
        if ends and self._line is not None:
            self._line.finished()
        return self._client._process_response_data(data=data, **more)


class _Dicts(Stream[dict]):  # type: ignore[type-arg]
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsDicts(client), **more)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return self._iterator


class _AsyncDicts(AsyncStream[dict]):  # type: ignore[type-arg]
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsDicts(client), **more)  # type: ignore[arg-type]

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterator


class _Events(Stream[openai.types.responses.ResponseStreamEvent]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsEvents(client), **more)  # type: ignore[arg-type]


class _AsyncEvents(AsyncStream[openai.types.responses.ResponseStreamEvent]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsEvents(client), **more)  # type: ignore[arg-type]


class _Chats(Stream[ChatCompletionChunk]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsChats(client), **more)  # type: ignore[arg-type]


class _AsyncChats(AsyncStream[ChatCompletionChunk]):
    def __init__(self, *, client: Any, **more: Any) -> None:
        super().__init__(client=_AsChats(client), **more)  # type: ignore[arg-type]


class Event:
    """One event, with what the SDK's streams ask of it."""

    __slots__ = ("data",)
    event = None

    def __init__(self, data: str) -> None:
        self.data = data

    def json(self) -> Any:
        return json.loads(self.data)


class Decoder:
    """Decodes Server-Sent Events. Knows one form only, `data: …` and an empty line; from any other on, the SDK's own takes over."""

    def __init__(self, exact: Any) -> None:
        """`exact`: the SDK's decoder."""
        self._exact = exact
        self._pieces: list[bytes] = []
        self._over: bytes | None = None

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
        for piece in iterator:
            yield from self._events(piece)
            if self._over is not None:
                yield from self._exact.iter_bytes(_after(self._over, iterator))
                return
        yield from self._exact.iter_bytes(iter([b"".join(self._pieces)]))

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for piece in iterator:
            for event in self._events(piece):
                yield event
            if self._over is not None:
                async for event in self._exact.aiter_bytes(_aafter(self._over, iterator)):
                    yield event
                return
        for event in self._exact.iter_bytes(iter([b"".join(self._pieces)])):
            yield event

    def _events(self, piece: bytes) -> Iterator[Event]:
        """The events that are whole now. Ends with `_over` set where the simple form ends."""
        if not piece:
            return
        pieces = self._pieces
        if b"\n\n" not in piece and not (pieces and piece[:1] == b"\n" and pieces[-1][-1:] == b"\n") and b"\r" not in piece:
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


def _after(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


async def _aafter(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in others:
        yield each
