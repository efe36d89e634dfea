"""`ChatVllm`: LangChain's `ChatOpenAI` for an in-house vLLM, with a time-out that means the whole call."""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from numbers import Real
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import openai
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai import DEFAULT_MAX_RETRIES
from pydantic import ModelWrapValidatorHandler, PrivateAttr, SecretStr, model_validator

from stream_deadline.bounded import BoundedStream
from stream_deadline.bounded_sync import BoundedIterator
from stream_deadline.budget import Bounds, Budget, clock_of, seconds
from stream_deadline.clients import PerLoopClient, PerProcessClient, per_loop_client, per_process_client
from stream_deadline.collect import THOUGHTS, Message
from stream_deadline.connection import Line, current, listen
from stream_deadline.retry import Attempts
from stream_deadline.text_chunks import Pattern, text_of

T = TypeVar("T")

_CHUNK_TIMEOUT_VARIABLE = "LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S"
_KEY_VARIABLE = "OPENAI_API_KEY"
_NO_KEY = "vllm-only-base-model"
_HTTP_CLIENTS = ("http_client", "http_async_client")
_CLIENTS = ("client", "async_client", "root_client", "root_async_client", *_HTTP_CLIENTS)
_KEYS = {"api_key", "openai_api_key"}
_OURS = (PerLoopClient, PerProcessClient)
_BOUNDS = ("timeout", "stream_timeout", "first_chunk_timeout", "idle_timeout")


class ChatVllm(ChatOpenAI):
    """`ChatOpenAI`, except that `timeout=45` means 45 s: however it is called, whatever the server does.

    The call ends with the answer or, at the deadline, with `StreamDeadlineExceeded`; either way the connection is closed by then,
    which is how a vLLM learns that it may stop. That holds for `invoke`, `stream`, `batch`, their asynchronous twins, and for the
    model as a part of any chain or agent; while the consumer is busy; and when nobody pulls the stream any more. Retries and
    their pauses come out of the same seconds, and there is none once the answer has begun.

    Args:
        timeout: seconds for the whole call, connecting and retries included. None: no bound. Where it is given as phases, as an
            `httpx.Timeout` or a tuple, `stream_timeout` has to say how long the whole may take. It holds however it is given: to the
            constructor, as a default of a subclass, by `model_copy`, `configurable_fields`, or per call: `model.bind(timeout=5)`.
        first_chunk_timeout: seconds from the start of a call to the first chunk that says something; None: no bound. For streams:
            an answer in one piece has no first chunk.
        idle_timeout: seconds from such a chunk to the next, while the server is waited for. Thoughts say something; keep-alive
            comments and empty deltas do not. None: no bound. For streams.
        stream_timeout: seconds for the whole call, where that is not `timeout`. None: no bound. "timeout": as `timeout` says.
        require_finish_reason: whether a stream that ends without a finish reason is a half, and raises `AnswerCutShort`; False for
            servers that never send one.
        raw_chunks: whether a stream's chunks are taken as the server sent them, which is several times cheaper; False: by way of
            the SDK's objects. Where tracing has been put around the SDK's calls, they are taken that way in any case.
        stream_usage: whether streams end with the usage, as answers in one piece do; a vLLM is asked for it unless told otherwise.
        api_key: taken from OPENAI_API_KEY when not given, else a placeholder, since an in-house vLLM rarely asks for one.

    What a model thought is in `additional_kwargs["reasoning_content"]`, in streams and in whole answers.

    An ambient `deadline` bounds the call as well; the shorter one holds. With `timeout` set, LangChain's own
    `stream_chunk_timeout` is off unless it is asked for: it costs more per chunk than all the rest, and on Python 3.11 it can
    swallow a cancellation (cpython#86296).

    Raises:
        StreamDeadlineExceeded: when a bound is reached.
        AnswerCutShort: when a stream ends without a finish reason.
        ValueError: when made, or called, with a bound that is not a positive number of seconds, or that could never act; when made
            with an HTTP client that speaks HTTP/2.

    .. note:: What runs in the thread or event loop of the caller cannot be interrupted from here: a callback or a consumer that
        blocks is late by as long as it blocks, though the server is released on time all the same. Nor can the look-up of a host's
        name in a synchronous call.
    """

    stream_timeout: float | Literal["timeout"] | None = "timeout"
    first_chunk_timeout: float | None = None
    idle_timeout: float | None = None
    require_finish_reason: bool = True
    raw_chunks: bool = True

    _given: frozenset[str] = PrivateAttr(default=frozenset())
    _users_retries: int | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _notice_what_is_given(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict):
            return handler(values)
        values = _with_bounds_as_fields(cls, values)
        given = frozenset(values)
        if any(_has_key_of_environment(values.get(name), values) for name in ("root_client", "root_async_client")):
            given -= _KEYS  # a copy that was made of all the fields of another model
        is_copy = any(
            isinstance(getattr(values.get(name), "_client", None), _OURS) for name in ("root_client", "root_async_client")
        )
        for name in _BOUNDS[1:]:  # pydantic would take a string for a number
            if values.get(name) != "timeout":
                seconds(name, values.get(name))
        if not given & _KEYS and not os.environ.get(_KEY_VARIABLE) and not _has_default(cls, "openai_api_key"):
            values = {**values, "api_key": _NO_KEY}
        model = handler(values)
        model._given = given
        if is_copy and not model.streaming:
            # `configurable_fields` makes a model of all the fields of another one. LangChain takes a `streaming` that is given for a
            # wish, so that `stream()` would ask for an answer in one piece.
            model.__pydantic_fields_set__.discard("streaming")
        model._take_over_clients()
        model._settle_bounds()
        return model

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse a `timeout` of a subclass: the field's name is `request_timeout`, and nothing would read another."""
        super().__init_subclass__(**more)
        if "timeout" in cls.__dict__ or "timeout" in cls.__dict__.get("__annotations__", ()):  # noqa: RUF063
            raise TypeError(
                f"{cls.__name__} sets `timeout` in its body, which bounds nothing; say `request_timeout: float | None = …`."
            )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, which does not know a field by its alias: `timeout` would be one without effect."""
        if update and "timeout" in update:
            update = {**update, "request_timeout": update["timeout"]}
            del update["timeout"]
        return super().model_copy(update=update, deep=deep)

    def _settle_bounds(self) -> None:
        bounds = self._bounds({}, parts=True, strict=True)
        if (
            bounds.timeout is not None
            and "stream_chunk_timeout" in type(self).model_fields  # since langchain-openai 1.2
            and "stream_chunk_timeout" not in self._given
            and _CHUNK_TIMEOUT_VARIABLE not in os.environ
        ):
            self.__dict__["stream_chunk_timeout"] = None

    def _take_over_clients(self) -> None:
        """Listen to the HTTP clients, keep the SDK from retrying by itself, and have connections for each event loop and process."""
        from stream_deadline import raw_chunks  # what it needs of the SDK takes longer to load than all the rest of this package

        for root, resource, http_client, make, ours in (
            ("root_client", "client", "http_client", per_process_client, PerProcessClient),
            ("root_async_client", "async_client", "http_async_client", per_loop_client, PerLoopClient),
        ):
            client = getattr(self, root)
            if client is None:
                client = _root_of(getattr(self, resource))
                if client is None:
                    listen(_http_of(getattr(self, resource)))  # the user's own, whatever it is
                    continue
                self._users_retries = client.max_retries
            http = client._client
            if not isinstance(http, ours):
                if any(name in self._given and getattr(self, name) is not None for name in (root, resource, http_client)):
                    listen(http)
                else:
                    http = make(http, str(client.base_url), self.openai_proxy)
            client = client.with_options(max_retries=0, http_client=http)
            client.key_of_environment = not self._given & _KEYS
            setattr(self, root, client)
            setattr(self, resource, raw_chunks.completions(client))

    def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        bounds = self._bounds(kwargs, parts=True)
        self._hear(self.root_async_client, kwargs)
        start = partial(super()._astream, *args, **_quietly(self._with_timeout(kwargs, self.root_async_client)))
        return self._bounded(bounds, start, Message(needs_reason=self.require_finish_reason))

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        bounds = self._bounds(kwargs, parts=False)
        generate = partial(super()._agenerate, *args, **self._with_timeout(kwargs, self.root_async_client))

        async def once() -> AsyncIterator[ChatResult]:
            yield await generate()

        async with self._bounded(bounds, once, Message()) as answer:
            return await anext(answer)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        bounds = self._bounds(kwargs, parts=True)
        self._hear(self.root_client, kwargs)
        start = partial(super()._stream, *args, **_quietly(self._with_timeout(kwargs, self.root_client)))
        return self._bounded_sync(bounds, start, Message(needs_reason=self.require_finish_reason))

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        bounds = self._bounds(kwargs, parts=False)
        generate = partial(super()._generate, *args, **self._with_timeout(kwargs, self.root_client))

        def once() -> Iterator[ChatResult]:
            yield generate()

        with self._bounded_sync(bounds, once, Message()) as answer:
            return next(answer)

    def _bounds(self, kwargs: dict[str, Any], *, parts: bool, strict: bool = False) -> Bounds:
        """The bounds of one call. What it says of them itself is taken out of `kwargs`, but for `timeout`, which the SDK knows.

        Args:
            kwargs: what the call was given.
            parts: whether the answer comes in parts; to one in one piece only the whole applies.
            strict: whether a part of the model's own may not be longer than the whole. In a call that has a shorter whole it cannot
                act, and that is no mistake.
        """
        whole: Any = self.stream_timeout
        if "stream_timeout" in kwargs:
            whole = kwargs.pop("stream_timeout")
        elif "timeout" in kwargs and not (_is_phases(kwargs["timeout"]) and whole != "timeout"):
            whole = "timeout"
        if whole == "timeout":
            whole = _whole(kwargs.get("timeout", self.model_kwargs.get("timeout", self.request_timeout)))
        whole = seconds("stream_timeout", whole)
        if "timeout" in kwargs:  # no bool any more
            kwargs["timeout"] = _as_sockets_take_it(kwargs["timeout"])
        own = {name: getattr(self, name) for name in ("first_chunk_timeout", "idle_timeout") if name not in kwargs}
        told = {name: kwargs.pop(name) for name in ("first_chunk_timeout", "idle_timeout") if name in kwargs}
        if not strict and whole is not None:
            own = {name: part for name, part in own.items() if part is not None and part <= whole}
        bounds = Bounds(whole, **own, **told)
        return bounds if parts else Bounds(bounds.timeout)

    def _hear(self, client: Any, kwargs: dict[str, Any]) -> None:
        """Listen to what the SDK has of its own for the stream that is about to begin. Loading that takes long, so not before."""
        from stream_deadline import raw_chunks

        if client is None:
            return
        if self._use_responses_api({**kwargs, **self.model_kwargs}):
            raw_chunks.hear_responses(client)
        elif "response_format" in kwargs or "response_format" in self.model_kwargs:
            raw_chunks.hear_structured(client)

    def _with_timeout(self, kwargs: dict[str, Any], client: Any) -> dict[str, Any]:
        """Tell the SDK the time-out that the model has now, where that is not what its client was made with."""
        if client is None or "timeout" in kwargs or "timeout" in self.model_kwargs or client.timeout == self.request_timeout:
            return kwargs
        if self._users_retries is not None and self.request_timeout is None:
            return kwargs  # the user's own client has one
        return {**kwargs, "timeout": _as_sockets_take_it(self.request_timeout)}

    def _bounded(self, bounds: Bounds, start: Callable[[], AsyncIterable[T]], collector: Message) -> BoundedStream[T]:
        budget = Budget(bounds, clock_of(asyncio.get_running_loop()))
        line = Line(budget, blocking=False, raw=self.raw_chunks)
        attempts = Attempts(self._retries(self.root_async_client), budget, line)
        stream = BoundedStream(attempts.over(start), budget, collector, line.cut, line.context())
        line.said, line.finished = stream.said, collector.finish
        return stream

    def _bounded_sync(self, bounds: Bounds, start: Callable[[], Iterable[T]], collector: Message) -> BoundedIterator[T]:
        budget = Budget(bounds, time.monotonic)
        line = Line(budget, blocking=True, raw=self.raw_chunks)
        attempts = Attempts(self._retries(self.root_client), budget, line)
        stream = BoundedIterator(attempts.over_sync(start), budget, collector, line.cut, line.context())
        line.said, line.finished = stream.said, collector.finish
        return stream

    def _retries(self, client: Any) -> int:
        if client is None:
            return 0  # the user's own, which retries as it was told to
        if self.max_retries is not None:
            return self.max_retries
        return DEFAULT_MAX_RETRIES if self._users_retries is None else self._users_retries

    def _should_stream_usage(self, stream_usage: bool | None = None, **kwargs: Any) -> bool:
        own = self.stream_usage
        if own == ChatOpenAI.model_fields["stream_usage"].default and "stream_usage" not in self.model_fields_set:
            own = None  # before langchain-openai 1.0 the default is False
        told = [stream_usage, kwargs.get("stream_options"), self.model_kwargs.get("stream_options"), own]
        return super()._should_stream_usage(stream_usage, **kwargs) if any(each is not None for each in told) else True

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        line = current() if default_chunk_class is AIMessageChunk and not base_generation_info else None
        if line is not None and line.raw and (text := text_of(chunk)) is not None:
            if line.pattern:
                return line.pattern.copy(text)
            generation = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
            if generation is not None and line.pattern is None:
                line.pattern = Pattern(generation, text)
            return generation
        generation = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        choices = chunk.get("choices") or (chunk.get("chunk") or {}).get("choices")
        if choices and (generation is None or len(choices) > 1):
            # LangChain leaves out a chunk without a delta, and every choice but the first, though the answer may be whole with it.
            ends = any(choice.get("finish_reason") for choice in choices)
            if ends and (line := current()) is not None:
                line.finished()
        delta = choices[0].get("delta") if choices else None
        if delta and generation is not None and (len(delta) > 1 or "content" not in delta):
            self._pass_on(delta, generation.message)
        return generation

    def _pass_on(self, delta: dict[str, Any], message: BaseMessage) -> None:
        """What LangChain leaves out of a delta. Thoughts are handed on; of anything else at least the server is not silent."""
        if (thought := _thought(delta)) is not None:
            message.additional_kwargs[THOUGHTS] = thought
            return
        silent = message.content or not any(
            value for name, value in delta.items() if name not in ("role", "content", "tool_calls")
        )
        if not silent and (line := current()) is not None:
            line.said()

    def _create_chat_result(self, response: Any, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._create_chat_result(response, *args, **kwargs)
        choices = response["choices"] if isinstance(response, dict) else response.choices
        for generation, choice in zip(result.generations, choices, strict=False):
            # What the SDK's objects have no field for is in their `model_extra`.
            if (thought := _thought(choice["message"] if isinstance(choice, dict) else choice.message.model_extra or {})) is not None:
                generation.message.additional_kwargs[THOUGHTS] = thought
        return result

    def _get_generation_chunk_from_completion(self, completion: openai.BaseModel) -> ChatGenerationChunk:
        chunk = super()._get_generation_chunk_from_completion(completion)
        chunk.message.additional_kwargs.pop(THOUGHTS, None)  # the chunks before it have them
        return chunk

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """What LangChain's cache takes for the model: with the server, whose answer it is, and without secrets."""
        params = {**self._get_invocation_params(stop=stop, **kwargs), **kwargs}
        for name in _BOUNDS:
            params.pop(name, None)
        client = self.root_client or self.root_async_client or _http_of(self.client) or _http_of(self.async_client)
        address = urlsplit(str(getattr(client, "base_url", self.openai_api_base)))
        user, _, host = address.netloc.rpartition("@")
        # What may be secret is told apart, not told.
        asked = [
            user,
            address.query,
            self.default_headers,
            self.default_query,
            *(params.pop(name, None) for name in ("extra_headers", "extra_query")),
        ]
        digest = hashlib.blake2b(json.dumps(asked, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()
        server = [
            f"{address.scheme}://{host}{address.path}",
            self.openai_organization,
            self.use_responses_api,
            self.output_version,
        ]
        return str([*sorted(params.items()), *server, digest])

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """No: LangChain's `load` makes classes of its own list only, and as a `ChatOpenAI` it would come back without a deadline."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the model was made of; its clients hold sockets and locks, and are made anew."""
        own = [name for name in _CLIENTS if name in self._given and _is_a_users(getattr(self, name))]
        if own:
            raise TypeError(f"A ChatVllm with a {own[0]} of your own cannot be pickled; make it where it is used.")
        made_of = {name: getattr(self, name) for name in self.model_fields_set if name not in _CLIENTS}
        if not self._given & _KEYS or _secret(self.openai_api_key) in (os.environ.get(_KEY_VARIABLE), _NO_KEY):
            made_of.pop("openai_api_key", None)  # the environment's; it is found there again
        return _make, (type(self), made_of)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        make, arguments = self.__reduce__()
        copy: Self = make(*arguments)
        return copy


def _make(cls: type[ChatVllm], made_of: dict[str, Any]) -> ChatVllm:
    return cls(**made_of)


def _with_bounds_as_fields(cls: type[ChatVllm], values: dict[str, Any]) -> dict[str, Any]:
    """What a model is made of, with its bounds where the fields for them are.

    What stands in `model_kwargs` would be an argument of the SDK, which knows one of them only. A subclass that declares
    `request_timeout` anew loses the alias.
    """
    others = values.get("model_kwargs")
    if isinstance(others, dict) and not others.keys().isdisjoint(_BOUNDS):
        values = {**values, **{name: others[name] for name in _BOUNDS if name in others}}
        values["model_kwargs"] = {name: value for name, value in others.items() if name not in _BOUNDS}
    if "timeout" in values and cls.model_fields["request_timeout"].alias is None:
        values = {**values, "request_timeout": values["timeout"]}
        del values["timeout"]
    return values


def _whole(timeout: Any) -> float | None:
    """What `timeout` says of the whole call."""
    if _is_phases(timeout):
        # Which of its phases should bound the whole is not ours to guess.
        raise ValueError(f"timeout={timeout!r} does not say how long a call may take in all; give stream_timeout=… too.")
    return seconds("timeout", timeout)


def _as_sockets_take_it(timeout: Any) -> Any:
    """A number as a float: numpy's and fractions' are numbers, too, but no time-outs of a socket."""
    return float(timeout) if isinstance(timeout, Real) else timeout


def _is_phases(timeout: Any) -> bool:
    return isinstance(timeout, tuple) or hasattr(timeout, "connect")


def _quietly(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Without a run manager that has nobody to tell of each token: LangChain would tell nobody all the same, chunk by chunk."""
    manager = kwargs.get("run_manager")
    return {**kwargs, "run_manager": None} if manager is not None and not manager.handlers else kwargs


def _thought(said: dict[str, Any]) -> str | None:
    """What a delta or a message has of thoughts; None: none, or an empty one.

    vLLM calls them `reasoning` now, and `reasoning_content` before; some send both.
    """
    thought = said.get("reasoning_content") or said.get("reasoning")
    return thought if isinstance(thought, str) and thought else None


def _has_default(cls: type[ChatVllm], field: str) -> bool:
    """Whether a subclass has given the field a value of its own."""
    default = cls.model_fields[field].default
    return isinstance(default, str | SecretStr) or callable(default)


def _root_of(resource: Any) -> Any:
    """The SDK's client under `client=` of the user's, if it is the SDK's own and nothing has been put around it."""
    if not isinstance(
        resource, (openai.resources.chat.completions.Completions, openai.resources.chat.completions.AsyncCompletions)
    ):
        return None
    from stream_deadline import raw_chunks

    root = resource._client
    return root if raw_chunks.is_plain(resource) and not {"with_options", "copy"} & vars(root).keys() else None


def _http_of(resource: Any) -> Any:
    """The HTTP client under a resource of the SDK; None: there is none."""
    return getattr(getattr(resource, "_client", None), "_client", None)


def _is_a_users(client: Any) -> bool:
    for _ in range(2):  # under a resource of the SDK is its client, and under that the HTTP client
        client = getattr(client, "_client", None) if not isinstance(client, _OURS) and hasattr(client, "_client") else client
    return client is not None and not isinstance(client, _OURS)


def _has_key_of_environment(client: Any, values: dict[str, Any]) -> bool:
    """Whether this client of ours has the key that a model is to be made with, and took it from the environment."""
    key = values.get("openai_api_key", values.get("api_key"))
    return getattr(client, "key_of_environment", False) and client.api_key == _secret(key)


def _secret(key: Any) -> Any:
    return key.get_secret_value() if isinstance(key, SecretStr) else key
