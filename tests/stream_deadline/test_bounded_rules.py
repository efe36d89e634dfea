"""The invariants of `bounded` hold for any order of events, as Hypothesis chooses it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream_deadline import BoundedStream, StreamDeadlineExceeded, bounded

T = TypeVar("T")
SOON = 0.05
STEPS = st.sampled_from([0.0, 0.1, 0.4, 1.0, 2.5])


class Wire:
    """A server that sends what the rules tell it to, when they tell it to."""

    def __init__(self) -> None:
        self.sent = 0
        self.closed = 0
        self._waiting: asyncio.Queue[int] = asyncio.Queue()

    def send(self, count: int) -> None:
        for _ in range(count):
            self._waiting.put_nowait(self.sent)
            self.sent += 1

    def __aiter__(self) -> "Wire":
        return self

    async def __anext__(self) -> int:
        return await self._waiting.get()

    async def aclose(self) -> None:
        self.closed += 1


class Streams(RuleBasedStateMachine):
    """One stream with a deadline, on a virtual clock."""

    @initialize(limit=st.sampled_from([0.5, 2.0, 5.0]))
    def open(self, limit: float) -> None:
        self.runner = asyncio.Runner(loop_factory=looptime.new_event_loop)
        self.loop = self.runner.get_loop()
        self.wire = Wire()
        self.got: list[int] = []
        self.pull: asyncio.Task[int] | None = None
        self.cancels = 0
        self.over = False

        async def start() -> BoundedStream[int]:
            return bounded(self.wire, limit)

        self.stream = self.do(start())
        self.deadline = limit

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        result = self.runner.run(work)
        self.look()
        return result

    def look(self) -> None:
        """Take note of a pull that has ended."""
        if self.pull is None or not self.pull.done():
            return
        pull, self.pull = self.pull, None
        assert pull.cancelling() == self.cancels, "other code counted our cancellations"
        self.cancels = 0
        if pull.cancelled():
            self.over = True
        elif isinstance(error := pull.exception(), StreamDeadlineExceeded):
            assert self.loop.time() >= self.deadline, "the error came early"
            assert error.chunks == len(self.got)
            self.over = True
        elif isinstance(error, StopAsyncIteration):
            assert self.over, "the stream ended by itself"
        else:
            assert error is None, error
            assert not self.over, "an item came after the end"
            assert self.pulled_out_at < self.deadline, "an item came after the deadline"
            self.got.append(pull.result())

    async def _pull(self) -> int:
        item = await anext(self.stream)
        self.pulled_out_at = self.loop.time()
        return item

    @rule(count=st.integers(1, 40))
    def server_sends(self, count: int) -> None:
        self.wire.send(count)

    @rule(seconds=STEPS)
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @precondition(lambda self: self.pull is None)
    @rule(seconds=STEPS)
    def consumer_pulls_in_a_new_task(self, seconds: float) -> None:
        async def start() -> None:
            self.pull = asyncio.get_running_loop().create_task(self._pull())
            await asyncio.wait({self.pull}, timeout=seconds)

        self.do(start())

    @precondition(lambda self: self.pull is not None)
    @rule(times=st.integers(1, 3), gap=st.sampled_from([0.0, 0.001]))
    def consumer_is_cancelled(self, times: int, gap: float) -> None:
        async def cancel() -> None:
            assert self.pull is not None
            for _ in range(times):
                self.cancels += self.pull.cancel()
                await asyncio.sleep(gap)
            await asyncio.wait({self.pull}, timeout=1)

        self.do(cancel())
        assert self.pull is None, "a cancelled pull goes on"

    @rule()
    def consumer_closes(self) -> None:
        self.over = True
        self.do(self.stream.aclose())
        assert self.wire.closed == 1

    @invariant()
    def items_are_a_prefix_of_what_was_sent(self) -> None:
        if hasattr(self, "got"):
            assert self.got == list(range(len(self.got)))
            assert len(self.got) <= self.wire.sent

    @invariant()
    def a_pull_does_not_wait_past_the_deadline(self) -> None:
        if hasattr(self, "pull") and self.loop.time() > self.deadline + SOON:
            assert self.pull is None

    @invariant()
    def the_source_is_closed_once_and_on_time(self) -> None:
        if hasattr(self, "wire"):
            assert self.wire.closed <= 1
            if self.loop.time() > self.deadline + SOON:
                assert self.wire.closed == 1

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.over = True
            self.do(self.stream.aclose())

            async def left() -> list[str]:
                await asyncio.sleep(SOON)
                return [
                    task.get_name()
                    for task in asyncio.all_tasks()
                    if task is not asyncio.current_task()
                ]

            assert self.do(left()) == []
            self.runner.close()
            assert self.wire.closed == 1


Streams.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestStreams = Streams.TestCase
