"""Test what your code does at a deadline, in milliseconds.

    def test_a_reader_gets_what_had_arrived(virtual_clock: VirtualClock) -> None:
        model = bounded_model(BabblingChatModel(pace=1.0), timeout=45)
        assert answer_question(model, "Why?").is_partial

The fixture `virtual_clock` comes with the package, as a plugin of pytest.
"""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Self

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from stream_deadline import _clock
from stream_deadline._connection import current_tracker
from stream_deadline._deadline import deadline
from stream_deadline._errors import Bound, StreamDeadlineExceeded

__all__ = [
    "BabblingChatModel",
    "VirtualClock",
    "deadline_error",
    "expired_deadline",
    "virtual_clock",
]


UNITS = 1024
"""Units of a second at which a virtual clock starts, a power of two."""


class VirtualClock:
    """A clock of this package that a test moves. Time passes only by `advance`.

    It is the clock of the whole process. Deadlines of calls that begin under it are measured by it.
    Sleeps, and the time-outs of sockets, are not.
    """

    def __init__(self) -> None:
        # In whole units, so that whole seconds stay exact, as in `error.elapsed == 30`.
        self._now = math.floor(time.monotonic() * UNITS) / UNITS
        self._moving = threading.Lock()

    def __call__(self) -> float:
        """Return the time in seconds, on the scale of `time.monotonic`."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass. Deadlines that are reached act at once.

        Args:
            seconds: how long.

        Raises:
            ValueError: the number is negative.
        """
        if seconds < 0:
            raise ValueError(f"A clock can only be advanced, and {seconds!r} s is negative.")
        with self._moving:
            self._now += seconds
        _clock.jumped()


@contextmanager
def virtual_clock() -> Iterator[VirtualClock]:
    """Measure the deadlines inside a `with` block by a clock that the test moves.

        with virtual_clock() as clock, deadline(30):
            clock.advance(31)
            with pytest.raises(StreamDeadlineExceeded):
                model.invoke("Why?")

    Calls that begin inside the block are measured by it to their end.
    """
    clock = VirtualClock()
    before = _clock.install(clock)
    try:
        yield clock
    finally:
        _clock.install(before)


def expired_deadline() -> deadline:
    """Return a `deadline` that has passed: each call inside it ends before it begins.

        with expired_deadline():
            assert handler(request).status_code == 504

    Calls that have begun before it keep their own deadline.
    """
    return deadline(0)


def deadline_error(
    bound: Bound = "timeout", limit: float = 45.0, text: str | None = None
) -> StreamDeadlineExceeded:
    """Return the error of a call that was ended, for a mock to raise.

        model.invoke = Mock(side_effect=deadline_error(text="The answer is"))

    Args:
        bound: which bound ended it.
        limit: the value of the bound in seconds.
        text: what had arrived by then; None: nothing.
    """
    partial = None if text is None else AIMessageChunk(content=text)
    chunks = 0 if text is None else len(text.split())
    return StreamDeadlineExceeded(bound, limit, limit, chunks, partial)


class BabblingChatModel(BaseChatModel):
    """A chat model that never comes to an end, for `bounded_model` and `bounded`.

    Under a `virtual_clock` it takes no time: it advances the clock instead.

    Args:
        text: what it says in each chunk.
        pace: seconds from chunk to chunk.
        chunks: after how many it ends all the same; None: never.
    """

    text: str = "and so on "
    pace: float = 1.0
    chunks: int | None = None

    @property
    def _llm_type(self) -> str:
        return "babbling"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Self:
        """Return the model itself, since it calls no tools."""
        return self

    def _stream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for _ in self._numbers():
            if not _advance(self.pace):
                time.sleep(self.pace)
            yield self._chunk()

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for _ in self._numbers():
            # The consumer gets a chunk before the time of the next one.
            await asyncio.sleep(0.001 if _clock.is_virtual else self.pace)
            _advance(self.pace)
            yield self._chunk()

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        text = "".join(chunk.text for chunk in self._stream(messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])

    async def _agenerate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        text = "".join([chunk.text async for chunk in self._astream(messages)])
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])

    def _numbers(self) -> Iterator[int]:
        for number in itertools.count() if self.chunks is None else range(self.chunks):
            tracker = current_tracker()
            if tracker is not None and tracker.is_over:
                return  # as a server does whose client has left
            yield number

    def _chunk(self) -> ChatGenerationChunk:
        return ChatGenerationChunk(message=AIMessageChunk(content=self.text))


def _advance(seconds: float) -> bool:
    """Let virtual time pass, and return whether there is a virtual clock."""
    clock = _clock.monotonic
    if isinstance(clock, VirtualClock):
        clock.advance(seconds)
        return True
    return False
