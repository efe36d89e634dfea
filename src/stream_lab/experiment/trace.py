"""A record of which task pulled which chunk of a stream, and when."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

# Bound here, so that `scope.observed()` never reports the laboratory's own bound.
_timeout = asyncio.timeout


class Ending(StrEnum):
    """The ways in which a recorded stream ends."""

    CUT = "TimeoutError"
    GAVE_UP = "gave up"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass
class Pull:
    """One request for a chunk, seen from inside the model, in seconds since the call.

    Attributes:
        task: the number of the task that asked.
        asked: when it asked.
        got: when it got the chunk. None: no chunk came.
    """

    task: int
    asked: float
    got: float | None = None


class TaskNumbers:
    """Numbers for tasks, in order of first appearance; asyncio's names differ from run to run."""

    def __init__(self) -> None:
        # The keys keep tasks alive, or a new task could get the identity of a dead one.
        self._numbers: dict[asyncio.Task[Any], int] = {}

    def of(self, task: asyncio.Task[Any] | None) -> int:
        """Return the number of a task; 0 for None, which means code outside tasks."""
        return 0 if task is None else self._numbers.setdefault(task, len(self._numbers) + 1)

    def current(self) -> int:
        return self.of(asyncio.current_task())

    def __iter__(self) -> Iterator[tuple[int, asyncio.Task[Any]]]:
        """Iterate over the tasks with their numbers, in the order of the numbers."""
        return ((number, task) for task, number in self._numbers.items())

    def __contains__(self, task: object) -> bool:
        return task in self._numbers


@dataclass
class Recording:
    """What one streamed call did. Times are seconds since the call.

    Attributes:
        arrivals: when each chunk reached the consumer.
        pulls: the same from inside the model, one for each request for a chunk. Empty unless the
            model's class went through `traced`.
        ending: how the stream ended.
        ended: when it ended.
        error: type and text of the error that ended it. Empty: none did.
        stood_still: the longest time in which the event loop did not turn although this process was
            not computing. The machine was busy elsewhere, so no time-out could have fired.
        tasks: the numbers of the tasks.
        started: the start of the call, on the clock of `time.monotonic()`.
    """

    arrivals: list[float] = field(default_factory=list)
    pulls: list[Pull] = field(default_factory=list)
    ending: Ending = Ending.FINISHED
    ended: float = 0.0
    error: str = ""
    stood_still: float = 0.0
    tasks: TaskNumbers = field(default_factory=TaskNumbers)
    started: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        return time.monotonic() - self.started

    @property
    def chunks(self) -> int:
        return len(self.arrivals)

    @property
    def pulling_tasks(self) -> int:
        """Return how many different tasks pulled at least one chunk."""
        return len({pull.task for pull in self.pulls if pull.got is not None})

    @property
    def one_task_per_chunk(self) -> bool:
        """Tell whether every chunk was pulled by a task that pulled no other."""
        pulled = [pull.task for pull in self.pulls if pull.got is not None]
        return 1 < len(pulled) == len(set(pulled))

    def chunks_after(self, moment: float) -> int:
        return sum(arrival > moment for arrival in self.arrivals)


Model = TypeVar("Model", bound=type)

_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)

ASKS, GETS = "asks for a chunk", "gets a chunk"
watcher: ContextVar[Callable[[str], None] | None] = ContextVar("watcher", default=None)
"""Called with `ASKS` and `GETS` in the task that pulls. None: only the recording has the pulls."""
OWN_TASK = "stream-lab"
"""The name of the laboratory's own tasks, which are no part of an experiment."""


async def record(stream: AsyncIterator[Any], *, give_up_after: float) -> Recording:
    """Consume a stream to its end, and record what happens.

    Args:
        stream: the stream to consume.
        give_up_after: seconds after which the consumer leaves in any case.
    """
    recording = Recording()
    token = _recording.set(recording)
    heart = asyncio.create_task(_beat(recording), name=OWN_TASK)
    chunks = aiter(stream)
    try:
        # Each wait has a bound, and the clock is read before it, since one cancellation alone can
        # get lost (notebook 04).
        while (left := give_up_after - recording.now()) > 0:
            async with _timeout(left) as patience:
                await anext(chunks)
            recording.arrivals.append(recording.now())
        recording.ending = Ending.GAVE_UP
    except StopAsyncIteration:
        recording.ending = Ending.FINISHED
    except TimeoutError as error:
        recording.ending = Ending.GAVE_UP if patience.expired() else Ending.CUT
        recording.error = "" if patience.expired() else _name(error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        recording.ending, recording.error = Ending.FAILED, _name(error)
    except Exception as error:  # an error that ends a stream is a result
        recording.ending = Ending.FAILED
        recording.error = _name(error)
    finally:
        recording.ended = recording.now()
        _recording.reset(token)
        heart.cancel()
        if (close := getattr(stream, "aclose", None)) is not None:
            # A scope that the stream has left open may fire just now, and cancel this task.
            with suppress(Exception, asyncio.CancelledError):
                await close()
    return recording


def record_sync(stream: Iterable[Any], *, give_up_after: float) -> Recording:
    """Consume a synchronous stream in the calling thread, as `record` does.

    Args:
        stream: the stream to consume.
        give_up_after: seconds after which the consumer leaves, with the next chunk; a blocked
            thread cannot leave earlier.
    """
    recording = Recording()
    try:
        for _ in stream:
            recording.arrivals.append(recording.now())
            if recording.now() >= give_up_after:
                recording.ending = Ending.GAVE_UP
                break
    except TimeoutError as error:
        recording.ending, recording.error = Ending.CUT, _name(error)
    except Exception as error:
        recording.ending, recording.error = Ending.FAILED, _name(error)
    finally:
        recording.ended = recording.now()
        if (close := getattr(stream, "close", None)) is not None:
            close()
    return recording


async def _beat(recording: Recording, every: float = 0.1) -> None:
    """Turn with the event loop, and record the longest time without a turn."""
    while True:
        wall, computing = time.monotonic(), time.process_time()
        await asyncio.sleep(every)
        idle = (time.monotonic() - wall - every) - (time.process_time() - computing)
        recording.stood_still = max(recording.stood_still, idle)


def traced(model: Model) -> Model:
    """Return a subclass of a chat model that records the task of each pull.

    It writes into the current recording whenever `_astream` is asked for a chunk, in the task that
    resumes the generator. That task resumes the class's own generator too.
    """

    async def _astream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        chunks = model._astream(self, *args, **kwargs)  # type: ignore[attr-defined]
        if (recording := _recording.get()) is None:
            async for chunk in chunks:
                yield chunk
            return
        try:
            while True:
                pull = Pull(recording.tasks.current(), recording.now())
                recording.pulls.append(pull)
                _tell(ASKS)
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                pull.got = recording.now()
                _tell(GETS)
                yield chunk
        finally:
            await chunks.aclose()

    members = {"_astream": _astream, "__doc__": model.__doc__}
    return type(model.__name__, (model,), members)  # type: ignore[return-value]


def _tell(what: str) -> None:
    if (tell := watcher.get()) is not None:
        tell(what)


def _name(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
