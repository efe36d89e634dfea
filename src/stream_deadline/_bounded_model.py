"""Bound the calls of any chat model of LangChain: `bounded_model`."""

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any, ClassVar, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableBinding
from pydantic import PrivateAttr

from stream_deadline import _clock
from stream_deadline._bounded import BoundedStream
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._connection import ConnectionTracker
from stream_deadline._deadline import clock_of
from stream_deadline._http_clients import http_clients, report_to_calls
from stream_deadline._in_thread import ThreadIterator
from stream_deadline._message import MessageAccumulator

M = TypeVar("M")
T = TypeVar("T")

# The model whose call this is. LangChain makes some of a model's calls out of others of them.
_calling: "contextvars.ContextVar[object | None]" = contextvars.ContextVar(
    "stream_deadline_calling", default=None
)


def bounded_model(
    model: M,
    timeout: float | None = None,
    *,
    first_chunk_timeout: float | None = None,
    idle_timeout: float | None = None,
) -> M:
    """Return a copy of a chat model whose calls are bounded as a whole.

        model = bounded_model(AzureChatOpenAI(azure_deployment="gpt"), timeout=45)

    A call ends with the answer or, at the deadline, with `StreamDeadlineExceeded`. That holds for
    `invoke`, `stream`, `batch` and their asynchronous twins, in chains and agents, and for a copy
    of the copy. An ambient `deadline` bounds the calls too; the shorter one holds.

    If the model's SDK is built on httpx or httpx2, its connection is closed at the deadline, which
    frees the server. If not (boto3, grpc), the caller gets the error on time, and the request goes
    on in the background until the SDK gives it up.

    Args:
        model: a chat model of LangChain, or what its `bind` or `bind_tools` gave. It is not
            changed, except that its HTTP clients report to the calls of bounded models.
        timeout: seconds for a whole call, retries included; None: only an ambient `deadline` bounds
            it.
        first_chunk_timeout: seconds from the start to the first chunk that says something; None: no
            bound. For streams only.
        idle_timeout: seconds from such a chunk to the next, while the call waits for it; None: no
            bound. For streams only.

    Returns:
        A model of a subclass, so that it has all methods and fields of the original.

    Raises:
        TypeError: it is not a chat model.
        ValueError: a bound is not a positive number of seconds, or a part is longer than the whole;
            in the first call: the model's HTTP client speaks HTTP/2.
    """
    bounds = Bounds(timeout, first_chunk_timeout, idle_timeout)
    return cast(M, _bound(model, bounds))


def _bound(model: Any, bounds: Bounds) -> Any:
    if isinstance(model, RunnableBinding):
        return model.model_copy(update={"bound": _bound(model.bound, bounds)})
    if not isinstance(model, BaseChatModel):
        raise TypeError(
            f"bounded_model bounds chat models of LangChain, and this is a {type(model).__name__}. "
            "Around a chain, use `with deadline(45):`."
        )
    copy = _plain(model)
    object.__setattr__(copy, "__class__", _bounded_class(type(copy), bounds))
    private = copy.__pydantic_private__
    object.__setattr__(copy, "__pydantic_private__", {**(private or {}), "_deadline_clients": None})
    return copy


def _plain(model: BaseChatModel) -> BaseChatModel:
    """Return a copy of a model, without the bounds that it may have."""
    copy = model.model_copy()
    copy.__dict__.pop("_serialized", None)  # LangChain caches it, and it names the class
    if isinstance(model, _Bounded):
        object.__setattr__(copy, "__class__", type(model)._deadline_plain_class)
        private = {**(copy.__pydantic_private__ or {})}
        private.pop("_deadline_clients", None)
        object.__setattr__(copy, "__pydantic_private__", private or None)
    return copy


@lru_cache(maxsize=128)
def _bounded_class(plain: type[BaseChatModel], bounds: Bounds) -> type[BaseChatModel]:
    """Return a subclass with these bounds.

    They belong to the class, since LangChain makes new models of a model's class and fields.
    """
    names: dict[str, Any] = {
        "__module__": plain.__module__,
        "__doc__": plain.__doc__,
        "__annotations__": {
            "_deadline_bounds": ClassVar[Bounds],
            "_deadline_plain_class": ClassVar[type[BaseChatModel]],
            "_deadline_clients": tuple[Any, bool] | None,
        },
        "_deadline_bounds": bounds,
        "_deadline_plain_class": plain,
        "_deadline_clients": PrivateAttr(default=None),
    }
    for name in ("_agenerate", "_stream", "_astream"):
        inherited = getattr(BaseChatModel, name)
        if getattr(plain, name) is inherited:  # LangChain asks whether a class has its own
            names[name] = inherited
    return type(f"Bounded{plain.__name__}", (_Bounded, plain), names)


class _Bounded:
    """The methods of a bounded model, which come before those of its own class."""

    _deadline_bounds: ClassVar[Bounds]
    _deadline_plain_class: ClassVar[type[BaseChatModel]]
    _deadline_clients: tuple[Any, bool] | None
    """The clients that report to its calls, and whether one of them is synchronous."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        generate = partial(super()._generate, *args, **kwargs)  # type: ignore[misc]
        if _calling.get() is self:
            return cast(ChatResult, generate())

        def once() -> Iterator[ChatResult]:
            yield generate()

        with _iterate(self, Bounds(self._deadline_bounds.timeout), once) as answer:
            return next(answer)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        generate = partial(super()._agenerate, *args, **kwargs)  # type: ignore[misc]
        if _calling.get() is self:
            return cast(ChatResult, await generate())

        async def once() -> AsyncIterator[ChatResult]:
            yield await generate()

        async with _iterate_async(self, Bounds(self._deadline_bounds.timeout), once) as answer:
            return await anext(answer)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        start = partial(super()._stream, *args, **kwargs)  # type: ignore[misc]
        if _calling.get() is self:
            return cast(Iterator[ChatGenerationChunk], start())
        return _iterate(self, self._deadline_bounds, start)

    def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        start = partial(super()._astream, *args, **kwargs)  # type: ignore[misc]
        if _calling.get() is self:
            return cast(AsyncIterator[ChatGenerationChunk], start())
        return _iterate_async(self, self._deadline_bounds, start)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return what LangChain's cache knows the original by."""
        return _plain(cast(BaseChatModel, self))._get_llm_string(stop=stop, **kwargs)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return False: LangChain's `load` would make a model without the bounds."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        return _bound, (_plain(cast(BaseChatModel, self)), self._deadline_bounds)


def _lazily(start: Callable[[], Iterable[T]]) -> Iterator[T]:
    """Make a source with the first pull, in the context of the call."""
    yield from start()


def _iterate(model: Any, bounds: Bounds, start: Callable[[], Iterable[T]]) -> BoundedIterator[T]:
    budget, tracker, context = _begin(model, bounds, _clock.monotonic, blocking=True)
    if _reports(model) or _clock.is_virtual:  # a thread would run ahead of its consumer
        source: Any = _lazily(start)
        interrupt: Any = tracker.cut
    else:
        source = ThreadIterator(start, context.copy())

        def interrupt(in_use: bool) -> None:
            tracker.cut(in_use)
            source.stop()

    accumulator = MessageAccumulator()
    return BoundedIterator(source, budget, accumulator, interrupt, context, tracker.finish)


def _iterate_async(
    model: Any, bounds: Bounds, start: Callable[[], AsyncIterable[T]]
) -> BoundedStream[T]:
    clock = clock_of(asyncio.get_running_loop())
    budget, tracker, context = _begin(model, bounds, clock, blocking=False)
    _reports(model)
    accumulator = MessageAccumulator()
    return BoundedStream(start(), budget, accumulator, tracker.cut, context, tracker.finish)


def _begin(
    model: Any, bounds: Bounds, clock: Callable[[], float], *, blocking: bool
) -> tuple[Budget, ConnectionTracker, contextvars.Context]:
    """Begin a call: its budget, the tracker of its connections, and its source's context."""
    budget = Budget(bounds, clock)
    budget.name_model = partial(_name_of, model)
    tracker = ConnectionTracker.begin(budget, blocking=blocking)
    context = tracker.context()
    context.run(_calling.set, model)
    return budget, tracker, context


def _reports(model: Any) -> bool:
    """Let the model's HTTP clients report to its calls.

    Returns:
        Whether one of them is synchronous, so that it can end a synchronous call.
    """
    attributes = {**model.__dict__, **(model.__pydantic_private__ or {})}
    attributes.pop("_deadline_clients", None)
    now = tuple(id(value) for name, value in attributes.items() if "client" in name.lower())
    if model._deadline_clients is None or model._deadline_clients[0] != now:
        found = http_clients(model)
        for http in found:
            report_to_calls(http)
        model._deadline_clients = now, any(not hasattr(http, "aclose") for http in found)
    return bool(model._deadline_clients[1])


def _name_of(model: Any) -> str | None:
    """Return the name of the model behind a model of LangChain; None: not known."""
    names = (getattr(model, name, None) for name in ("model_name", "model", "model_id"))
    return next((name for name in names if isinstance(name, str)), None)
