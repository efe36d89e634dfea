"""An `asyncio.timeout` that records its steps, and changes nothing else."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from stream_lab.experiment import trace
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.trace import TaskNumbers

CREATED, ENTERED, TURN, RESCHEDULED, DUE, FIRED, LEAVING, LEFT = (
    "created", "entered", "turn", "rescheduled", "timer due", "timer fired", "leaving", "left",
)  # fmt: skip
FINE = (TURN, DUE, LEAVING)
"""The steps that only `Log.steps` has: the loop's first turn after the entry, and the moments just
before the timer and the exit act."""
RUNNING, WAITING, DONE = "running", "waiting", "done"


@dataclass(frozen=True)
class TaskState:
    """A task at one step.

    Attributes:
        number: its number in the log.
        doing: running, waiting or done.
        cancelling: how many cancellations it has pending.
        sleeps: the seconds of the `asyncio.sleep` that it waits in. None: it waits for something
            else, or does not wait.
        pulls: whether it has asked for a chunk and not got it yet.
    """

    number: int
    doing: str
    cancelling: int = 0
    sleeps: float | None = None
    pulls: bool = False


@dataclass(frozen=True)
class Event:
    """One step in the life of a scope, or of the tasks around it.

    Attributes:
        at: seconds since the log began.
        what: created, entered, rescheduled, timer fired, or left. Only in `Log.steps` also: those
            of `FINE`, `ASKS` and `GETS` of a pull, and what a body marks.
        state: the scope's state after the step. Empty: there is no scope yet.
        task: the number of the task in which it happened; 0 for the timer, which runs in no task.
        remembered: the task that the scope would cancel; 0 before it is entered.
        remembered_done: whether that task has ended.
        cancelling: how many cancellations that task has pending.
        scope: the number of the scope in the log, from 1; 0: there is no scope yet.
        timers: the pending timers of scopes: the number of the scope, and how many seconds after
            it was set the timer is due, to a hundredth.
        tasks: the tasks of the experiment, in the order of their numbers.
        error: the type of the error with which the body is left. Empty: there is none.
        raises: whether the scope raises its own TimeoutError instead.
    """

    at: float
    what: str
    state: str
    task: int
    remembered: int
    remembered_done: bool
    cancelling: int
    scope: int = 1
    timers: tuple[tuple[int, float], ...] = ()
    tasks: tuple[TaskState, ...] = ()
    error: str = ""
    raises: bool = False


class Log:
    """The steps of the observed scopes, in order.

    Attributes:
        events: the steps of the scopes themselves.
        steps: these, and between them what the tasks did; `pictures.stepped` draws them.
        tasks: the numbers of the tasks.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.steps: list[Event] = []
        self.tasks = TaskNumbers()
        self._started = time.monotonic()
        self._scopes: list[ObservedTimeout] = []
        self._before = _living()
        self._pulling: set[int] = set()

    def note(
        self, scope: "ObservedTimeout", what: str, error: str = "", *, raises: bool = False
    ) -> None:
        """Note a step of a scope."""
        if what == CREATED:
            self._scopes.append(scope)
        event = replace(self._event(scope, what), error=error, raises=raises)
        self.steps.append(event)
        if what not in FINE:
            self.events.append(event)

    def mark(self, what: str) -> None:
        """Note a step of the running task, such as "the body begins"."""
        if what == trace.ASKS:
            self._pulling.add(self.tasks.current())
        elif what == trace.GETS:
            self._pulling.discard(self.tasks.current())
        self.steps.append(self._event(self._scopes[-1] if self._scopes else None, what))

    def find(self, what: str) -> Event | None:
        """Return the first event of a kind. None: there is none."""
        return next((event for event in self.events if event.what == what), None)

    def _event(self, scope: "ObservedTimeout | None", what: str) -> Event:
        remembered = getattr(scope, "_task", None)
        return Event(
            at=time.monotonic() - self._started,
            what=what,
            state="" if scope is None else state(scope),
            task=self.tasks.current(),
            remembered=self.tasks.of(remembered),
            remembered_done=remembered is not None and remembered.done(),
            cancelling=remembered.cancelling() if remembered is not None else 0,
            scope=0 if scope is None else self._scopes.index(scope) + 1,
            timers=tuple(
                (number, each.pending)
                for number, each in enumerate(self._scopes, 1)
                if each.pending is not None
            ),
            tasks=self._states(),
        )

    def _states(self) -> tuple[TaskState, ...]:
        new = [
            task
            for task in _living() - self._before
            if task not in self.tasks and task.get_name() != trace.OWN_TASK
        ]
        for task in sorted(new, key=_age):
            self.tasks.of(task)
        running = asyncio.current_task()
        return tuple(
            TaskState(
                number,
                DONE if task.done() else RUNNING if task is running else WAITING,
                task.cancelling(),
                _sleeps(task),
                number in self._pulling,
            )
            for number, task in self.tasks
        )


def _living() -> set[asyncio.Task[Any]]:
    """Return the tasks of the running loop that have not ended."""
    with suppress(RuntimeError):
        return asyncio.all_tasks()
    return set()


def _age(task: asyncio.Task[Any]) -> int:
    """Return the number in the name that asyncio gives a task, which grows."""
    digits = task.get_name().rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _sleeps(task: asyncio.Task[Any]) -> float | None:
    """Return the seconds of the `asyncio.sleep` that a task waits in. None: none."""
    waits: Any = None if task.done() else task.get_coro()
    while waits is not None:
        if getattr(waits, "cr_code", None) is asyncio.sleep.__code__ and waits.cr_await:
            delay = float(waits.cr_frame.f_locals["delay"])
            return delay if delay > 0 else None  # sleep(0) sets no timer
        waits = getattr(waits, "cr_await", None)
    return None


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
    fired = log.find(FIRED)
    if fired is None:
        return Unknown("the timer never fired")
    return "already finished" if fired.remembered_done else "still at work"


class ObservedTimeout(asyncio.Timeout):  # type: ignore[misc]  # final for type checkers only
    """An `asyncio.Timeout` that records each of its steps.

    Attributes:
        pending: how many seconds after it was set the timer is due, to a hundredth. None: no timer
            is set.
    """

    def __init__(self, when: float | None, log: Log) -> None:
        super().__init__(when)
        self.pending: float | None = None
        self._log = log
        self._delay = _until(when)
        self._entering = True
        log.note(self, CREATED)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._entering = False
        # Entering may come later than making; the reader knows the delay from the making.
        self.pending = self._delay
        self._log.note(self, ENTERED)
        asyncio.get_running_loop().call_soon(self._turn)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        error, raises = "" if exc_type is None else exc_type.__name__, False
        if error:
            self._log.note(self, LEAVING, error)
        try:
            await super().__aexit__(exc_type, exc_val, exc_tb)
        except TimeoutError:
            raises = True
            raise
        finally:
            self.pending = None
            self._log.note(self, LEFT, error, raises=raises)

    def reschedule(self, when: float | None) -> None:
        super().reschedule(when)
        if not self._entering:  # __aenter__ calls this too, to set the first deadline
            self.pending = _until(when)
            self._log.note(self, RESCHEDULED)

    def _turn(self) -> None:
        if state(self) == "active":
            self._log.note(self, TURN)

    def _on_timeout(self) -> None:
        self.pending = None
        self._log.note(self, DUE)
        super()._on_timeout()  # type: ignore[misc]
        self._log.note(self, FIRED)


def _until(when: float | None) -> float | None:
    """Return the seconds until a moment of the loop's clock, to a hundredth."""
    return None if when is None else round(when - asyncio.get_running_loop().time(), 2)


def timeout(delay: float | None, log: Log) -> ObservedTimeout:
    """Return `asyncio.timeout(delay)`, observed."""
    return ObservedTimeout(
        None if delay is None else asyncio.get_running_loop().time() + delay, log
    )


@contextmanager
def observed() -> Iterator[Log]:
    """Observe every `asyncio.timeout(…)` that any library opens while the body runs.

    The log also notes each pull of a model whose class went through `traced`.
    """
    log = Log()
    original = asyncio.timeout
    asyncio.timeout = lambda delay: timeout(delay, log)
    token = trace.watcher.set(log.mark)
    try:
        yield log
    finally:
        asyncio.timeout = original
        trace.watcher.reset(token)
