"""Who pulled which chunk, and when: the evidence for what happens inside a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

# Bound here, so that the lab's own bound is never the one that `scope.observed()` reports on.
_timeout = asyncio.timeout


class Ending(StrEnum):
    """How a recorded stream came to its end."""

    CUT = "TimeoutError"
    GAVE_UP = "gave up"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass
class Pull:
    """One request for a chunk, seen from inside the model: which task asked, and when it got the chunk.

    Times are seconds since the call. `got` is None when no chunk came.
    """

    task: int
    asked: float
    got: float | None = None


class TaskNumbers:
    """Numbers tasks 1, 2, 3 … in the order in which they first appear: asyncio's own names differ from run to run."""

    def __init__(self) -> None:
        self._numbers: dict[
            asyncio.Task[Any], int
        ] = {}  # keeps them alive, or a new task could get a dead one's identity

    def of(self, task: asyncio.Task[Any] | None) -> int:
        """Return the number of this task; 0 for None, which is code outside tasks."""
        return 0 if task is None else self._numbers.setdefault(task, len(self._numbers) + 1)

    def current(self) -> int:
        return self.of(asyncio.current_task())


@dataclass
class Recording:
    """What one streamed call did. Times are seconds since the call.

    `arrivals`: when each chunk reached the consumer. `pulls`: the same from inside the model, one for each chunk asked for; empty
    unless the model's class went through `traced`. `error`: the type and text of what ended the stream; empty if nothing did.
    `stood_still`: the longest time, in seconds, in which the event loop did not turn although this process was not computing: the
    machine was busy elsewhere, and no time-out could have fired.
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
        """How many different tasks pulled at least one chunk."""
        return len({pull.task for pull in self.pulls if pull.got is not None})

    @property
    def one_task_per_chunk(self) -> bool:
        """Whether every chunk was pulled by a task that pulled no other."""
        pulled = [pull.task for pull in self.pulls if pull.got is not None]
        return 1 < len(pulled) == len(set(pulled))

    def chunks_after(self, moment: float) -> int:
        return sum(arrival > moment for arrival in self.arrivals)


Model = TypeVar("Model", bound=type)

_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


async def record(stream: AsyncIterator[Any], *, give_up_after: float) -> Recording:
    """Consume a stream to its end, and record what happens.

    `give_up_after`: seconds after which the consumer leaves, in any case.
    """
    recording = Recording()
    token = _recording.set(recording)
    heart = asyncio.create_task(_beat(recording))
    chunks = aiter(stream)
    try:
        # A bound on each wait and a look at the clock before it: one cancellation alone can get lost on the way (notebook 04).
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
    except (
        Exception
    ) as error:  # an error that ends a stream is the finding, not a fault of the recorder
        recording.ending = Ending.FAILED
        recording.error = _name(error)
    finally:
        recording.ended = recording.now()
        _recording.reset(token)
        heart.cancel()
        if (close := getattr(stream, "aclose", None)) is not None:
            await close()
    return recording


def record_sync(stream: Iterable[Any], *, give_up_after: float) -> Recording:
    """Consume a synchronous stream as `record` does, in the calling thread, without a bound of its own.

    `give_up_after`: seconds after which the consumer leaves, with the next chunk: a thread that is blocked looks at no clock.
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
    """Turn with the event loop, and notice when it does not."""
    while True:
        wall, computing = time.monotonic(), time.process_time()
        await asyncio.sleep(every)
        idle = (time.monotonic() - wall - every) - (time.process_time() - computing)
        recording.stood_still = max(recording.stood_still, idle)


def traced(model: Model) -> Model:
    """Return the same chat model class, which notes the task of each pull.

    The note goes into the current recording, whenever `_astream` is asked for a chunk.

    The note is taken in the task that resumes the generator, which is the task that resumes the class's own generator too.
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
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                pull.got = recording.now()
                yield chunk
        finally:
            await chunks.aclose()

    return type(model.__name__, (model,), {"_astream": _astream, "__doc__": model.__doc__})  # type: ignore[return-value]


def _name(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
