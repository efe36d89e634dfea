"""What a caller may do to a stream that has no end. Each is a function of a model and the deadline, and says how it went.

Each judges for itself what it can see, by `assert`, and returns the moment by which the server has to be released.
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
    """One way to behave.

    Attributes:
        run: plays it, and returns the moment, in `time.monotonic()` seconds, by which no generation may be running any more.
        generations: how many generations it starts.
        scenario: what the server plays.
        group: what it has in common with the callers beside it, in a few words.
        pooled: whether the model has had an answer over the connection that the first call will use.
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
    """Pulls once and then never again: the server has to be released all the same."""
    return await _pull_once_and_hold(model.astream(QUESTION), deadline)


async def suspended_in_chain(model: Any, deadline: float) -> float:
    """The same through a chain, in which other tasks pull."""
    return await _pull_once_and_hold(chain(model, 2).astream(QUESTION), deadline)


async def breaks(model: Any, deadline: float) -> float:
    """Leaves the loop after a chunk."""
    async for _ in model.astream(QUESTION):
        break
    return time.monotonic()


async def drops(model: Any, deadline: float) -> float:
    """Lets go of the stream without a word."""
    stream = model.astream(QUESTION)
    await anext(stream)
    del stream
    gc.collect()
    return time.monotonic()


async def closed_elsewhere(model: Any, deadline: float) -> float:
    """Another task closes the stream."""
    stream = model.astream(QUESTION)
    await anext(stream)
    await asyncio.create_task(stream.aclose())
    return time.monotonic()


async def _consume(model: Any, begun: asyncio.Event | None = None) -> None:
    async for _ in model.astream(QUESTION):
        if begun is not None:
            begun.set()


async def _begin(model: Any, deadline: float) -> "asyncio.Task[None]":
    """A task that consumes a stream, once the stream has begun."""
    begun = asyncio.Event()
    task = asyncio.create_task(_consume(model, begun))
    await asyncio.wait_for(begun.wait(), deadline)
    return task


async def cancelled_before(model: Any, deadline: float) -> float:
    """Cancelled while it waits for the next chunk."""
    task = await _begin(model, deadline)
    await asyncio.sleep(deadline / 10)
    task.cancel()
    await asyncio.wait({task}, timeout=deadline)
    assert task.cancelled(), "the cancellation got lost, or became another error"
    return time.monotonic()


async def cancelled_at(model: Any, deadline: float) -> float:
    """Cancelled at the very moment of the deadline."""
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
    """Cancelled while it gets over the time-out: nothing may be left of that."""
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
    """Cancelled, and again while it cleans up."""
    task = await _begin(model, deadline)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({task}, timeout=deadline)
    assert task.cancelled(), "the cancellation got lost, or became another error"
    return time.monotonic()


async def shorter_scope(model: Any, deadline: float) -> float:
    """Has an `asyncio.timeout` of its own, which ends sooner."""
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
    """Make two calls on one model, the second at half the time of the first.

    Each has a deadline of its own.
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
    """One model, called from one event loop and then from another."""

    async def ask() -> str:
        return str((await model.ainvoke(QUESTION)).text)

    first, second = asyncio.run(ask()), asyncio.run(ask())
    assert first == second
    return time.monotonic() + deadline


def sync_suspended(model: Any, deadline: float) -> float:
    """`stream`: pulls once and then never again."""
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
    """`stream`: leaves the loop after a chunk."""
    for _ in model.stream(QUESTION):
        break
    return time.monotonic()


class _Told(BaseCallbackHandler):
    """What LangChain tells of a call to its callbacks."""

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
        assert self.tokens, "no token was told of"
        assert [type(end) for end in self.ends] == [type(error)], f"its end was told as {self.ends}"


class _ToldSlowly(AsyncCallbackHandler):
    """The same in an event loop, where it takes its time for each token."""

    def __init__(self, told: _Told) -> None:
        self._told = told

    async def on_llm_new_token(self, token: Any, **more: Any) -> None:
        self._told.on_llm_new_token(token)
        await asyncio.sleep(PAUSE)

    async def on_llm_end(self, response: Any, **more: Any) -> None:
        self._told.on_llm_end(response)

    async def on_llm_error(self, error: BaseException, **more: Any) -> None:
        self._told.on_llm_error(error)


async def _listened_to(
    model: Any, deadline: float, told: _Told, handler: BaseCallbackHandler
) -> float:
    by = time.monotonic() + deadline
    try:
        async for _ in model.astream(QUESTION, {"callbacks": [handler]}):
            pass
    except TimeoutError as error:
        told.check(by, deadline, error)
        return by
    raise AssertionError("an endless stream ended")


async def callback(model: Any, deadline: float) -> float:
    """Has a callback handler, which hears of tokens and of one end: the time-out."""
    told = _Told()
    return await _listened_to(model, deadline, told, told)


async def async_callback(model: Any, deadline: float) -> float:
    """The same with an asynchronous handler, which is slower than the server."""
    told = _Told()
    return await _listened_to(model, deadline, told, _ToldSlowly(told))


def sync_callback(model: Any, deadline: float) -> float:
    """`stream`: has a callback handler."""
    by, told = time.monotonic() + deadline, _Told()
    try:
        for _ in model.stream(QUESTION, {"callbacks": [told]}):
            pass
    except TimeoutError as error:
        told.check(by, deadline, error)
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
    if caller.run is not two_loops  # a connection belongs to one of them
]
CALLERS = [*NEW, *POOLED]
