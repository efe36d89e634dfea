"""What a caller can do with an endless stream.

Each way is a function of a model and the deadline. It asserts what it can see itself, and returns
the moment by which the server must be released.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from stream_lab.matrix.calls import PAUSE, QUESTION, chain


@dataclass(frozen=True)
class Caller:
    """One behaviour of a caller.

    Attributes:
        name: the name of the row.
        run: plays the behaviour, and returns the moment on the clock of `time.monotonic()` after
            which no generation may run.
        generations: how many generations it starts.
        scenario: the scenario of the server.
        group: what this row has in common with its neighbours, in a few words.
        pooled: whether the first call uses a connection over which the model has had an answer.
    """

    name: str
    run: Callable[[Any, float], Any]
    generations: int = 1
    scenario: str = "endless"
    group: str = "what the caller does"
    pooled: bool = False

    @property
    def is_async(self) -> bool:
        return asyncio.iscoroutinefunction(self.run)


async def _pull_once_and_hold(stream: Any, deadline: float) -> float:
    by = time.monotonic() + deadline
    await anext(stream)
    await asyncio.sleep(by + deadline - time.monotonic())
    try:
        await anext(stream)
    except TimeoutError:
        return by
    raise AssertionError("a chunk came after the deadline")


async def suspended(model: Any, deadline: float) -> float:
    """Pull once and then never again: the server must be released all the same."""
    return await _pull_once_and_hold(model.astream(QUESTION), deadline)


async def suspended_in_chain(model: Any, deadline: float) -> float:
    """Do the same through a chain, in which other tasks pull."""
    return await _pull_once_and_hold(chain(model, 2).astream(QUESTION), deadline)


async def breaks(model: Any, deadline: float) -> float:
    """Leave the loop after a chunk."""
    async for _ in model.astream(QUESTION):
        break
    return time.monotonic()


async def drops(model: Any, deadline: float) -> float:
    """Drop the only reference to the stream."""
    stream = model.astream(QUESTION)
    await anext(stream)
    del stream
    gc.collect()
    return time.monotonic()


async def closed_elsewhere(model: Any, deadline: float) -> float:
    """Close the stream in another task."""
    stream = model.astream(QUESTION)
    await anext(stream)
    await asyncio.create_task(stream.aclose())
    return time.monotonic()


async def _consume(model: Any, begun: asyncio.Event | None = None) -> None:
    async for _ in model.astream(QUESTION):
        if begun is not None:
            begun.set()


async def _begin(model: Any, deadline: float) -> "asyncio.Task[None]":
    """Return a task that consumes a stream, once the stream has begun."""
    begun = asyncio.Event()
    task = asyncio.create_task(_consume(model, begun))
    await asyncio.wait_for(begun.wait(), deadline)
    return task


async def cancelled_before(model: Any, deadline: float) -> float:
    """Cancel the consumer while it waits for the next chunk."""
    task = await _begin(model, deadline)
    await asyncio.sleep(deadline / 10)
    task.cancel()
    await asyncio.wait({task}, timeout=deadline)
    assert task.cancelled(), "the cancellation got lost, or became another error"
    return time.monotonic()


async def cancelled_at(model: Any, deadline: float) -> float:
    """Cancel the consumer at the very moment of the deadline."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(_consume(model))
    by = time.monotonic() + deadline
    loop.call_at(loop.time() + deadline, task.cancel)
    await asyncio.wait({task}, timeout=2 * deadline)
    assert task.cancelled() or isinstance(task.exception(), TimeoutError), (
        "neither cancelled nor timed out"
    )
    return by


async def cancelled_after(model: Any, deadline: float) -> float:
    """Cancel the consumer while it recovers from the time-out, which must leave nothing behind."""
    by = time.monotonic() + deadline

    async def recover() -> None:
        try:
            await _consume(model)
        except TimeoutError:
            assert (task := asyncio.current_task()) is not None
            assert task.cancelling() == 0, "the time-out left a cancellation behind"
            await asyncio.sleep(60)

    task = asyncio.create_task(recover())
    await asyncio.sleep(deadline + 0.1)
    assert not task.done(), "no time-out came, or it did not stay one"
    task.cancel()
    await asyncio.wait({task}, timeout=deadline)
    assert task.cancelled(), "the cancellation got lost"
    return by


async def cancelled_twice(model: Any, deadline: float) -> float:
    """Cancel the consumer, and again while it cleans up."""
    task = await _begin(model, deadline)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({task}, timeout=deadline)
    assert task.cancelled(), "the cancellation got lost, or became another error"
    return time.monotonic()


async def shorter_scope(model: Any, deadline: float) -> float:
    """Use an `asyncio.timeout` that ends sooner."""
    ended: BaseException | None = None
    stream = model.astream(QUESTION)
    await anext(stream)
    try:
        async with asyncio.timeout(deadline / 4):
            async for _ in stream:
                pass
    except TimeoutError as error:
        ended = error
    assert type(ended) is TimeoutError, f"the outer scope's error became {type(ended).__name__}"
    assert (task := asyncio.current_task()) is not None
    assert task.cancelling() == 0
    return time.monotonic()


async def two_at_once(model: Any, deadline: float) -> float:
    """Make two calls on one model, each with its own deadline.

    The second begins at half the time of the first.
    """

    async def one(wait: float) -> float:
        await asyncio.sleep(wait)
        started = time.monotonic()
        try:
            await asyncio.wait_for(_consume(model), 2 * deadline)
        except TimeoutError:
            return time.monotonic() - started
        raise AssertionError("an endless stream ended")

    for took in await asyncio.gather(one(0), one(deadline / 2)):
        assert deadline <= took <= 1.8 * deadline, f"one of them ended after {took:.2f} s"
    return time.monotonic()


def two_loops(model: Any, deadline: float) -> float:
    """Call one model from one event loop and then from another."""

    async def ask() -> str:
        return str((await model.ainvoke(QUESTION)).text)

    first, second = asyncio.run(ask()), asyncio.run(ask())
    assert first == second
    return time.monotonic() + deadline


def sync_suspended(model: Any, deadline: float) -> float:
    """Pull once from `stream` and then never again."""
    by = time.monotonic() + deadline
    stream = model.stream(QUESTION)
    next(stream)
    time.sleep(max(0.0, by + deadline - time.monotonic()))
    try:
        next(stream)
    except TimeoutError:
        return by
    raise AssertionError("a chunk came after the deadline")


def sync_breaks(model: Any, deadline: float) -> float:
    """Leave the loop over `stream` after a chunk."""
    for _ in model.stream(QUESTION):
        break
    return time.monotonic()


class _Record(BaseCallbackHandler):
    """A record of the callbacks that LangChain makes for a call."""

    def __init__(self) -> None:
        self.tokens = 0
        self.ends: list[BaseException | None] = []

    def on_llm_new_token(self, token: Any, **more: Any) -> Any:
        self.tokens += 1

    def on_llm_end(self, response: Any, **more: Any) -> Any:
        self.ends.append(None)

    def on_llm_error(self, error: BaseException, **more: Any) -> Any:
        self.ends.append(error)

    def check(self, by: float, deadline: float, error: TimeoutError) -> None:
        took = time.monotonic() - by + deadline
        assert deadline <= took <= 1.8 * deadline, f"it ended after {took:.2f} s"
        assert self.tokens, "no token was reported"
        assert [type(end) for end in self.ends] == [type(error)], (
            f"its end was reported as {self.ends}"
        )


class _SlowRecord(AsyncCallbackHandler):
    """The same record in an event loop, slower than the server."""

    def __init__(self, record: _Record) -> None:
        self._record = record

    async def on_llm_new_token(self, token: Any, **more: Any) -> None:
        self._record.on_llm_new_token(token)
        await asyncio.sleep(PAUSE)

    async def on_llm_end(self, response: Any, **more: Any) -> None:
        self._record.on_llm_end(response)

    async def on_llm_error(self, error: BaseException, **more: Any) -> None:
        self._record.on_llm_error(error)


async def _listened_to(
    model: Any, deadline: float, record: _Record, handler: BaseCallbackHandler
) -> float:
    by = time.monotonic() + deadline
    try:
        async for _ in model.astream(QUESTION, {"callbacks": [handler]}):
            pass
    except TimeoutError as error:
        record.check(by, deadline, error)
        return by
    raise AssertionError("an endless stream ended")


async def callback(model: Any, deadline: float) -> float:
    """Use a callback handler, which must receive tokens and one end, the time-out."""
    record = _Record()
    return await _listened_to(model, deadline, record, record)


async def async_callback(model: Any, deadline: float) -> float:
    """Do the same with an asynchronous handler that is slower than the server."""
    record = _Record()
    return await _listened_to(model, deadline, record, _SlowRecord(record))


def sync_callback(model: Any, deadline: float) -> float:
    """Use a callback handler with `stream`."""
    by, record = time.monotonic() + deadline, _Record()
    try:
        for _ in model.stream(QUESTION, {"callbacks": [record]}):
            pass
    except TimeoutError as error:
        record.check(by, deadline, error)
        return by
    raise AssertionError("an endless stream ended")


NEW = [
    Caller("suspended", suspended),
    Caller("suspended, chain", suspended_in_chain),
    Caller("breaks", breaks),
    Caller("drops the reference", drops),
    Caller("aclose() elsewhere", closed_elsewhere),
    Caller("cancelled before", cancelled_before),
    Caller("cancelled before, stalled", cancelled_before, scenario="endless+stall:after=1"),
    Caller("cancelled at", cancelled_at),
    Caller("cancelled after", cancelled_after),
    Caller("cancelled twice", cancelled_twice),
    Caller("shorter asyncio.timeout", shorter_scope),
    Caller("two calls at once", two_at_once, generations=2),
    Caller("two loops in turn", two_loops, generations=2, scenario="finite:tokens=10"),
    Caller("stream: suspended", sync_suspended),
    Caller("stream: breaks", sync_breaks),
    Caller("callback", callback),
    Caller("async callback", async_callback),
    Caller("stream: callback", sync_callback),
]
POOLED = [
    replace(caller, name=f"{caller.name}, pooled", group=f"{caller.group}, pooled", pooled=True)
    for caller in NEW
    if caller.run is not two_loops  # a connection belongs to one loop
]
CALLERS = [*NEW, *POOLED]
