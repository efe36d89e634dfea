"""An `asyncio.timeout` that records its steps, and changes nothing else."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.trace import TaskNumbers


@dataclass(frozen=True)
class Event:
    """One step in the life of a scope.

    Attributes:
        at: seconds since the log began.
        what: created, entered, rescheduled, timer fired, or left.
        state: the scope's state after the step.
        task: the number of the task in which it happened; 0 for the timer, which runs in no task.
        remembered: the task that the scope would cancel; 0 before it is entered.
        remembered_done: whether that task has ended.
        cancelling: how many cancellations that task has pending.
    """

    at: float
    what: str
    state: str
    task: int
    remembered: int
    remembered_done: bool
    cancelling: int


class Log:
    """The steps of the observed scopes, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tasks = TaskNumbers()
        self._started = time.monotonic()

    def note(self, scope: asyncio.Timeout, what: str) -> None:
        remembered = scope._task  # type: ignore[attr-defined]
        self.events.append(
            Event(
                at=time.monotonic() - self._started,
                what=what,
                state=state(scope),
                task=self.tasks.current(),
                remembered=self.tasks.of(remembered),
                remembered_done=remembered is not None and remembered.done(),
                cancelling=remembered.cancelling() if remembered is not None else 0,
            )
        )

    def find(self, what: str) -> Event | None:
        """Return the first event of a kind. None: there is none."""
        return next((event for event in self.events if event.what == what), None)


def state(scope: asyncio.Timeout) -> str:
    """Return asyncio's word for a scope's state: created, active, expiring, expired or finished."""
    # There is no public way to read it; the repr comes closest: <Timeout [active] when=12.3>.
    private = getattr(scope, "_state", None)
    return (
        str(private.value)
        if private is not None
        else repr(scope).partition("[")[2].partition("]")[0]
    )


def target(log: Log) -> str:
    """Return the state of the task that the timer cancelled: at work, or already finished."""
    fired = log.find("timer fired")
    if fired is None:
        return Unknown("the timer never fired")
    return "already finished" if fired.remembered_done else "still at work"


class ObservedTimeout(asyncio.Timeout):  # type: ignore[misc]  # final for type checkers only
    """An `asyncio.Timeout` that records each of its steps."""

    def __init__(self, when: float | None, log: Log) -> None:
        super().__init__(when)
        self._log = log
        log.note(self, "created")

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._log.note(self, "entered")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc_val, exc_tb)
        finally:
            self._log.note(self, "left")

    def reschedule(self, when: float | None) -> None:
        super().reschedule(when)
        if self._log.find("entered"):  # __aenter__ calls this too, to set the first deadline
            self._log.note(self, "rescheduled")

    def _on_timeout(self) -> None:
        super()._on_timeout()  # type: ignore[misc]
        self._log.note(self, "timer fired")


def timeout(delay: float | None, log: Log) -> ObservedTimeout:
    """Return `asyncio.timeout(delay)`, observed."""
    return ObservedTimeout(
        None if delay is None else asyncio.get_running_loop().time() + delay, log
    )


@contextmanager
def observed() -> Iterator[Log]:
    """Observe every `asyncio.timeout(…)` that any library opens while the body runs."""
    log = Log()
    original = asyncio.timeout
    asyncio.timeout = lambda delay: timeout(delay, log)
    try:
        yield log
    finally:
        asyncio.timeout = original
