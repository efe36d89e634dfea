"""`DeadlineMixin`: a time-out for the whole call, for LangChain's models on the OpenAI SDK."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from langchain_core.outputs import ChatGenerationChunk, ChatResult
from openai import DEFAULT_MAX_RETRIES
from pydantic import BaseModel, PrivateAttr, model_validator

# pydantic itself exports it since 2.10.
from pydantic.functional_validators import ModelWrapValidatorHandler

from stream_deadline import _clock
from stream_deadline._bounded import BoundedStream
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._budget import Bounds, Budget, seconds
from stream_deadline._cache_key import cache_key
from stream_deadline._clients import (
    PerLoopClient,
    PerProcessClient,
    per_loop_client,
    per_process_client,
)
from stream_deadline._connection import ConnectionTracker
from stream_deadline._deadline import clock_of
from stream_deadline._http_clients import report_to_calls
from stream_deadline._message import MessageAccumulator
from stream_deadline._ownership import (
    KEY_FIELDS,
    OUR_CLIENTS,
    addresses_of,
    has_key_of_environment,
    http_client_of,
    is_from_environment,
    is_users,
    sdk_client_of,
)
from stream_deadline._retry import Retrier
from stream_deadline._timeouts import (
    BOUNDS,
    bounds_as_fields,
    socket_timeout,
    take_bounds,
)

if TYPE_CHECKING:
    from langchain_openai.chat_models.base import BaseChatOpenAI as _Base
else:
    # Not LangChain's class: the fields of that would hide those of the class that is mixed with.
    _Base = BaseModel

T = TypeVar("T")
_Begun = tuple[Budget, ConnectionTracker]
"""A call that has begun: its budget, and the tracker of its connections."""

_CHUNK_TIMEOUT_VARIABLE = "LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S"
_HTTP_CLIENTS = ("http_client", "http_async_client")
_CLIENTS = ("client", "async_client", "root_client", "root_async_client", *_HTTP_CLIENTS)


class DeadlineMixin(_Base):
    """Bound the whole call of a LangChain model on the OpenAI SDK.

        class BoundedAzure(DeadlineMixin, AzureChatOpenAI): ...

        model = BoundedAzure(azure_deployment="gpt", timeout=45)

    It comes before the model's class among the bases. `ChatVllm` is this mixin with defaults for
    vLLM, and documents what holds. `bounded_model` does nearly the same for a model that exists.

    Args:
        timeout: seconds for the whole call; None: no bound. See `ChatVllm`, as for the others.
        first_chunk_timeout: likewise.
        idle_timeout: likewise.
        stream_timeout: likewise.
        require_finish_reason: likewise.
        raw_chunks: likewise.

    Raises:
        StreamDeadlineExceeded: when a bound is reached.
        AnswerCutShort: when a stream ends without a finish reason.
        ValueError: see `ChatVllm`.
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
    def _note_given_fields(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict):
            return handler(values)
        values = bounds_as_fields(
            values, has_alias=cls.model_fields["request_timeout"].alias is not None
        )
        given = frozenset(values)
        if any(
            has_key_of_environment(values.get(name), values)
            for name in ("root_client", "root_async_client")
        ):
            given -= KEY_FIELDS  # a copy that is made of all the fields of another model
        is_copy = any(
            isinstance(getattr(values.get(name), "_client", None), OUR_CLIENTS)
            for name in ("root_client", "root_async_client")
        )
        for name in BOUNDS[1:]:  # pydantic would take a string for a number
            if values.get(name) != "timeout":
                seconds(name, values.get(name))
        model = handler(cls._with_defaults(values, given))
        model._given = given
        if is_copy and not model.streaming:
            # `configurable_fields` makes a model of all the fields of another one. LangChain would
            # take the `streaming` among them for a wish, and `stream()` would not stream.
            model.__pydantic_fields_set__.discard("streaming")
        model._take_over_clients()
        model._settle_bounds()
        return model

    @classmethod
    def _with_defaults(cls, values: dict[str, Any], given: frozenset[str]) -> dict[str, Any]:
        """Return the values that a model is made of, with what a subclass adds.

        Args:
            values: what the constructor was given.
            given: the names of the fields that count as given by the user.
        """
        return values

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse a subclass that sets `timeout`, since the field's name is `request_timeout`."""
        super().__init_subclass__(**more)
        if "timeout" in cls.__dict__ or "timeout" in cls.__dict__.get("__annotations__", ()):  # noqa: RUF063
            raise TypeError(
                f"{cls.__name__} sets `timeout` in its body, which bounds nothing; "
                "say `request_timeout: float | None = …`."
            )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the model; unlike in pydantic, `update` may name a field by its alias `timeout`."""
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
        """Install our transports and clients, and keep the SDK from retrying by itself."""
        from stream_deadline import _raw_chunks  # it loads parts of the SDK, which takes long

        for root, resource, http_client, make, ours in (
            ("root_client", "client", "http_client", per_process_client, PerProcessClient),
            (
                "root_async_client",
                "async_client",
                "http_async_client",
                per_loop_client,
                PerLoopClient,
            ),
        ):
            client = getattr(self, root)
            if client is None:
                client = sdk_client_of(getattr(self, resource))
                if client is None:
                    report_to_calls(http_client_of(getattr(self, resource)))  # the user's own
                    continue
                self._users_retries = client.max_retries
            http = client._client
            if not isinstance(http, ours):
                if any(
                    name in self._given and getattr(self, name) is not None
                    for name in (root, resource, http_client)
                ):
                    report_to_calls(http)
                else:
                    http = make(http, str(client.base_url), self.openai_proxy)
            client = client.with_options(max_retries=0, http_client=http)
            client.key_of_environment = not self._given & KEY_FIELDS
            setattr(self, root, client)
            setattr(self, resource, _raw_chunks.completions(client))

    def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        begun = self._begin(self._bounds(kwargs, parts=True), blocking=False)
        self._install_streams(self.root_async_client, kwargs)
        start = partial(
            super()._astream,
            *args,
            **_without_idle_manager(self._with_timeout(kwargs, self.root_async_client)),
        )
        return self._bounded(
            begun, start, MessageAccumulator(needs_reason=self.require_finish_reason)
        )

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        begun = self._begin(self._bounds(kwargs, parts=False), blocking=False)
        generate = partial(
            super()._agenerate, *args, **self._with_timeout(kwargs, self.root_async_client)
        )

        async def once() -> AsyncIterator[ChatResult]:
            yield await generate()

        async with self._bounded(begun, once, MessageAccumulator()) as answer:
            return await anext(answer)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        begun = self._begin(self._bounds(kwargs, parts=True), blocking=True)
        self._install_streams(self.root_client, kwargs)
        start = partial(
            super()._stream,
            *args,
            **_without_idle_manager(self._with_timeout(kwargs, self.root_client)),
        )
        return self._bounded_sync(
            begun, start, MessageAccumulator(needs_reason=self.require_finish_reason)
        )

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        begun = self._begin(self._bounds(kwargs, parts=False), blocking=True)
        generate = partial(super()._generate, *args, **self._with_timeout(kwargs, self.root_client))

        def once() -> Iterator[ChatResult]:
            yield generate()

        with self._bounded_sync(begun, once, MessageAccumulator()) as answer:
            return next(answer)

    def _bounds(self, kwargs: dict[str, Any], *, parts: bool, strict: bool = False) -> Bounds:
        """Return the bounds of one call; see `_timeouts.take_bounds`."""
        own = {
            "timeout": self.model_kwargs.get("timeout", self.request_timeout),
            "stream_timeout": self.stream_timeout,
            "first_chunk_timeout": self.first_chunk_timeout,
            "idle_timeout": self.idle_timeout,
        }
        bounds = take_bounds(own, kwargs, strict=strict)
        return bounds if parts else Bounds(bounds.timeout)

    def _install_streams(self, client: Any, kwargs: dict[str, Any]) -> None:
        """Install our streams in the parts of the SDK that load when used.

        To load them can take a second, so the clock of the call runs by then.
        """
        from stream_deadline import _raw_chunks

        if client is None:
            return
        if self._use_responses_api({**kwargs, **self.model_kwargs}):
            _raw_chunks.hear_responses(client)
        elif "response_format" in kwargs or "response_format" in self.model_kwargs:
            _raw_chunks.hear_structured(client)

    def _with_timeout(self, kwargs: dict[str, Any], client: Any) -> dict[str, Any]:
        """Pass the SDK the model's time-out, if its client was made with another."""
        if (
            client is None
            or "timeout" in kwargs
            or "timeout" in self.model_kwargs
            or client.timeout == self.request_timeout
        ):
            return kwargs
        if self._users_retries is not None and self.request_timeout is None:
            return kwargs  # the user's own client has one
        return {**kwargs, "timeout": socket_timeout(self.request_timeout)}

    def _begin(self, bounds: Bounds, *, blocking: bool) -> _Begun:
        """Begin a call, whose clock runs from here on."""
        clock = _clock.monotonic if blocking else clock_of(asyncio.get_running_loop())
        budget = Budget(bounds, clock)
        budget.name_model = lambda: self.model_name
        return budget, ConnectionTracker.begin(budget, blocking=blocking, raw=self.raw_chunks)

    def _bounded(
        self, begun: _Begun, start: Callable[[], AsyncIterable[T]], accumulator: MessageAccumulator
    ) -> BoundedStream[T]:
        budget, tracker = begun
        retrier = Retrier(self._retries(self.root_async_client), budget, tracker)
        stream = BoundedStream(
            retrier.stream(start),
            budget,
            accumulator,
            tracker.cut,
            tracker.context(),
            tracker.finish,
        )
        tracker.on_progress, tracker.on_finish = stream.note_progress, accumulator.finish
        return stream

    def _bounded_sync(
        self, begun: _Begun, start: Callable[[], Iterable[T]], accumulator: MessageAccumulator
    ) -> BoundedIterator[T]:
        budget, tracker = begun
        retrier = Retrier(self._retries(self.root_client), budget, tracker)
        stream = BoundedIterator(
            retrier.stream_sync(start),
            budget,
            accumulator,
            tracker.cut,
            tracker.context(),
            tracker.finish,
        )
        tracker.on_progress, tracker.on_finish = stream.note_progress, accumulator.finish
        return stream

    def _retries(self, client: Any) -> int:
        if client is None:
            return 0  # the user's own client retries as the user has set it
        if self.max_retries is not None:
            return self.max_retries
        return DEFAULT_MAX_RETRIES if self._users_retries is None else self._users_retries

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return what LangChain's cache knows the model by: its server too, and no secrets."""
        params = {**self._get_invocation_params(stop=stop, **kwargs), **kwargs}
        for name in BOUNDS:
            params.pop(name, None)
        addresses = addresses_of([self.client, self.async_client]) or [self.openai_api_base or ""]
        of_call = [params.pop(name, None) for name in ("extra_headers", "extra_query")]
        visible = [self.openai_organization, self.use_responses_api, self.output_version]
        visible += [getattr(self, name, None) for name in ("deployment_name", "openai_api_version")]
        secret = [self.default_headers, self.default_query, *of_call]
        return cache_key(addresses, params, visible, secret)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return False: LangChain's `load` would make a `ChatOpenAI`, without a deadline."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the model was made of; its clients are made anew."""
        own = [name for name in _CLIENTS if name in self._given and is_users(getattr(self, name))]
        if own:
            raise TypeError(
                f"A {type(self).__name__} with a {own[0]} of your own cannot be pickled; "
                "make it where it is used."
            )
        made_of = {
            name: getattr(self, name) for name in self.model_fields_set if name not in _CLIENTS
        }
        if not self._given & KEY_FIELDS or is_from_environment(self.openai_api_key):
            made_of.pop("openai_api_key", None)  # it is read from the environment again
        return _make, (type(self), made_of)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        make, arguments = self.__reduce__()
        copy: Self = make(*arguments)
        return copy


def _make(cls: type[DeadlineMixin], made_of: dict[str, Any]) -> DeadlineMixin:
    return cls(**made_of)


def _without_idle_manager(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Leave out a run manager without handlers, which LangChain would call for each chunk."""
    manager = kwargs.get("run_manager")
    return (
        {**kwargs, "run_manager": None} if manager is not None and not manager.handlers else kwargs
    )
