"""`ChatVllm`: LangChain's `ChatOpenAI` for an in-house vLLM, with a time-out that means the whole call."""

import asyncio
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, Self, TypeVar

from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.utils import secret_from_env
from langchain_openai import ChatOpenAI
from openai import DEFAULT_MAX_RETRIES
from pydantic import Field, SecretStr, model_validator

from stream_deadline.bounded import BoundedStream
from stream_deadline.bounded_sync import iterate
from stream_deadline.budget import Bounds, Budget, clock_of, seconds
from stream_deadline.collect import Message
from stream_deadline.connection import Line, listen
from stream_deadline.per_loop import PerLoopClient, per_loop_client
from stream_deadline.retry import Attempts

T = TypeVar("T")

_CHUNK_TIMEOUT_VARIABLE = "LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S"
_CLIENTS = ("client", "async_client", "root_client", "root_async_client", "http_client", "http_async_client")


class ChatVllm(ChatOpenAI):
    """`ChatOpenAI`, except that `timeout=45` means 45 s: however it is called, whatever the server does.

    The call ends with the answer or, at the deadline, with `StreamDeadlineExceeded`; either way the connection is closed by then,
    which is how a vLLM learns that it may stop. That holds for `invoke`, `stream`, `batch`, their asynchronous twins, and for the
    model as a part of any chain or agent; while the consumer is busy; and when nobody pulls the stream any more. Retries and
    their pauses come out of the same seconds, and there is none once the answer has begun.

    Args:
        timeout: seconds for the whole call, connecting and retries included. None: no bound. Where it is given as phases, as an
            `httpx.Timeout` or a tuple, `stream_timeout` has to say how long the whole may take. May be given per call, too:
            `model.bind(timeout=5)`.
        first_chunk_timeout: seconds from the start of a call to the first chunk that says something; None: no bound. For streams.
        idle_timeout: seconds from such a chunk to the next, while the consumer waits. Keep-alive comments and empty deltas say
            nothing. None: no bound. For streams.
        stream_timeout: seconds for the whole call, where that is not `timeout`. None: no bound.
        stream_usage: whether streams end with the usage, as answers in one piece do; a vLLM is asked for it unless told otherwise.
        api_key: taken from OPENAI_API_KEY when not given, else a placeholder, since an in-house vLLM rarely asks for one.

    An ambient `deadline` bounds the call as well; the shorter one holds. With `timeout` set, LangChain's own
    `stream_chunk_timeout` is off unless it is asked for: it costs more per chunk than all the rest, and on Python 3.11 it can
    swallow a cancellation (cpython#86296).

    Raises:
        StreamDeadlineExceeded: when a bound is reached.
        ValueError: when made, or called, with a bound that is not a positive number of seconds, or that could never act.

    .. note:: What runs in the thread or event loop of the caller cannot be interrupted from here: a callback or a consumer that
        blocks is late by as long as it blocks, though in a synchronous call the server is released on time all the same. Nor can
        the look-up of a host's name in a synchronous call.
    """

    stream_timeout: float | None = None
    first_chunk_timeout: float | None = None
    idle_timeout: float | None = None
    stream_usage: bool | None = True
    openai_api_key: SecretStr | None = Field(
        alias="api_key", default_factory=secret_from_env("OPENAI_API_KEY", default="vllm-only-base-model")
    )

    @model_validator(mode="before")
    @classmethod
    def _check_bounds(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if "stream_timeout" not in values:
            values["stream_timeout"] = _whole(values.get("timeout", values.get("request_timeout")))
        Bounds(values["stream_timeout"], values.get("first_chunk_timeout"), values.get("idle_timeout"))
        if (
            values["stream_timeout"] is not None
            and "stream_chunk_timeout" in cls.model_fields  # since langchain-openai 1.2
            and _CHUNK_TIMEOUT_VARIABLE not in os.environ
        ):
            values.setdefault("stream_chunk_timeout", None)
        return values

    @model_validator(mode="after")
    def _own_retries_and_connections(self) -> Self:
        if self.root_client is not None:
            listen(self.root_client._client)
            self.root_client = self.root_client.with_options(max_retries=0)
            self.client = self.root_client.chat.completions
        if self.root_async_client is not None:
            listen(self.root_async_client._client)
            self.root_async_client = self.root_async_client.with_options(max_retries=0, http_client=self._per_loop_client())
            self.async_client = self.root_async_client.chat.completions
        return self

    def _per_loop_client(self) -> PerLoopClient | None:
        """None: the user asked for a client, or for settings of one, and gets that."""
        if self.http_async_client is not None or getattr(self, "http_socket_options", None):
            return None
        return per_loop_client(str(self.root_async_client.base_url))

    def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        bounds = self._bounds(kwargs)
        return self._bounded(bounds, partial(super()._astream, *args, **kwargs))

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        bounds = self._bounds(kwargs)
        generate = partial(super()._agenerate, *args, **kwargs)

        async def once() -> AsyncIterator[ChatResult]:
            yield await generate()

        async with self._bounded(bounds, once) as answer:
            return await anext(answer)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        bounds = self._bounds(kwargs)
        return self._bounded_sync(bounds, partial(super()._stream, *args, **kwargs))

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        bounds = self._bounds(kwargs)
        generate = partial(super()._generate, *args, **kwargs)

        def once() -> Iterator[ChatResult]:
            yield generate()

        with closing(self._bounded_sync(bounds, once)) as answer:
            return next(answer)

    def _bounds(self, kwargs: dict[str, Any]) -> Bounds:
        """The bounds of one call. What it says of them itself is taken out of `kwargs`, but for `timeout`, which the SDK knows."""
        whole = self.stream_timeout
        if "timeout" in kwargs:
            whole = _whole(kwargs["timeout"]) if "stream_timeout" not in kwargs else None
        whole = kwargs.pop("stream_timeout", whole)
        parts: dict[str, Any] = {}
        for name in ("first_chunk_timeout", "idle_timeout"):
            part = getattr(self, name)
            # The model's own part may be longer than the whole of one call; then it cannot act, and that is no mistake.
            parts[name] = kwargs.pop(name, part if part is None or whole is None or part <= whole else None)
        return Bounds(whole, **parts)

    def _bounded(self, bounds: Bounds, start: Callable[[], AsyncIterable[T]]) -> BoundedStream[T]:
        budget = Budget(bounds, clock_of(asyncio.get_running_loop()))
        line = Line(budget, blocking=False)
        attempts = Attempts(self._retries(self.root_async_client), budget, line)
        return BoundedStream(attempts.over(start), budget, Message(), line.cut, line.context())

    def _bounded_sync(self, bounds: Bounds, start: Callable[[], Iterable[T]]) -> Generator[T]:
        budget = Budget(bounds, time.monotonic)
        line = Line(budget, blocking=True)
        attempts = Attempts(self._retries(self.root_client), budget, line)
        return iterate(attempts.over_sync(start), budget, Message(), line.cut, line.context())

    def _retries(self, client: Any) -> int:
        if client is None:
            return 0  # the user's own, which retries as it was told to
        return DEFAULT_MAX_RETRIES if self.max_retries is None else self.max_retries

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """No: LangChain's `load` makes classes of its own list only, and as a `ChatOpenAI` it would come back without a deadline."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the model was made of; its clients hold sockets and locks, and are made anew."""
        own = [name for name in _CLIENTS[-2:] if name in self.model_fields_set and getattr(self, name) is not None]
        if own:
            raise TypeError(f"A ChatVllm with an {own[0]} of your own cannot be pickled; make it where it is used.")
        made_of = {name: getattr(self, name) for name in self.model_fields_set if name not in _CLIENTS}
        return _make, (type(self), made_of)


def _make(cls: type[ChatVllm], made_of: dict[str, Any]) -> ChatVllm:
    return cls(**made_of)


def _whole(timeout: Any) -> float | None:
    """What `timeout` says of the whole call."""
    if isinstance(timeout, tuple) or hasattr(timeout, "connect"):
        # Which of its phases should bound the whole is not ours to guess.
        raise ValueError(f"timeout={timeout!r} does not say how long a call may take in all; give stream_timeout=… too.")
    return seconds("timeout", timeout)
