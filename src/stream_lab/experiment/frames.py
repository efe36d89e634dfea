"""A scope's log as frames: what each step shows, in words without clock values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from stream_lab.experiment import scope, trace
from stream_lab.experiment.scope import Event, Log, TaskState
from stream_lab.experiment.trace import ASKS, GETS

STATES = {
    "created": "CREATED",
    "active": "ENTERED",
    "expiring": "EXPIRING",
    "expired": "EXPIRED",
    "finished": "EXITED",
}
"""The values of asyncio's `_State`, which its `repr` shows, with the names in its source."""

LINES = {
    scope.CREATED: "__init__: self._state = _State.CREATED",
    scope.ENTERED: "__aenter__: self._task = task",
    "entered without a timer": "reschedule: self._timeout_handler = None",
    scope.RESCHEDULED: "reschedule: self._timeout_handler.cancel()",
    scope.DUE: "_on_timeout: assert self._state is _State.ENTERED",
    scope.FIRED: "_on_timeout: self._task.cancel()",
    scope.LEAVING: "__aexit__: if self._state is _State.EXPIRING:",
    "finished": "__aexit__: self._state = _State.EXITED",
    "expired": "__aexit__: self._task.uncancel()",
    "raised": "__aexit__: raise TimeoutError from exc_val",
}
"""The method and the line of `asyncio.Timeout` that make a step; a test looks for each of them."""

FOLDED = 3  # from this many tasks in the same state, one line stands for them


@dataclass(frozen=True)
class TaskLine:
    """A task in a frame, or several in the same state.

    Attributes:
        name: the task or the tasks, such as "task 1" or "tasks 3 to 22".
        doing: running, waiting or done.
        words: what it does beyond that.
        cancelling: how many cancellations it has pending. None: it is done.
        remembered: whether the scope remembers it.
        pulls: whether it waits for a chunk.
    """

    name: str
    doing: str
    words: str
    cancelling: int | None
    remembered: bool = False
    pulls: bool = False

    def __str__(self) -> str:
        return ", ".join(filter(None, [self.activity, self.count, self.mark]))

    @property
    def activity(self) -> str:
        """Return what it does, with its name."""
        return f"{self.name}: {self.doing}{self.words}"

    @property
    def count(self) -> str:
        """Return its pending cancellations. Empty: it is done."""
        return "" if self.cancelling is None else f"cancelling() = {self.cancelling}"

    @property
    def mark(self) -> str:
        """Return that the scope remembers it. Empty: it does not."""
        return "★ remembered by the scope" if self.remembered else ""


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        what: what happens, as a sentence.
        line: the line of `asyncio.Timeout` that makes it. Empty: it happens outside.
        state: the scope's state. Empty: there is no scope yet.
        seen: the states that the scope has been in, in order, with the present one.
        scope: the scope's name.
        timers: the loop's timers.
        tasks: the tasks.
    """

    what: str
    line: str
    state: str
    seen: tuple[str, ...]
    scope: str
    timers: tuple[str, ...]
    tasks: tuple[TaskLine, ...]

    def __str__(self) -> str:
        parts = [f"{self.scope} {self.state}" if self.state else ""]
        parts += [f"timers: {', '.join(self.timers) or 'none'}", *map(str, self.tasks)]
        return f"{self.what} ({'; '.join(filter(None, parts))})"


def frames(log: Log) -> list[Frame]:
    """Return a frame for each step that shows something new.

    Of the pulls, two have one: the first of a second task, and the first that gets a chunk although
    the timer has fired.
    """
    many = any(step.scope > 1 for step in log.steps)
    seen: dict[int, list[str]] = {}
    since: dict[int, int] = {}
    made: list[Frame] = []
    for step in _kept(log.steps):
        states = seen.setdefault(step.scope, [])
        if step.what in (scope.ENTERED, scope.RESCHEDULED):
            since[step.scope] = len(made) + 1
        if step.state and step.state not in states:
            states.append(step.state)
        made.append(
            Frame(
                _sentence(step, many),
                _line(step),
                step.state,
                tuple(states),
                f"scope {step.scope}" if many else "the scope",
                tuple(_timers(step, many, since)),
                tuple(_tasks(step)),
            )
        )
    return made


def _kept(steps: Sequence[Event]) -> list[Event]:
    asks = [step for step in steps if step.what == ASKS]
    second = next((step for step in asks if step.task != asks[0].task), None)
    since = next((step.at for step in steps if step.what == scope.FIRED), math.inf)
    late = next((step for step in steps if step.what == GETS and step.at >= since), None)
    return [
        step for step in steps if step.what not in (ASKS, GETS) or step is second or step is late
    ]


def _sentence(step: Event, many: bool) -> str:
    one = f"scope {step.scope}" if many else "the scope"
    who, remembered = f"Task {step.task}", f"task {step.remembered}"
    match step.what:
        case scope.CREATED:
            return f"{who} makes {one}."
        case scope.ENTERED:
            timer = "sets its timer" if _own_timer(step) is not None else "sets no timer"
            return f"{who} enters {one}, which remembers {remembered} and {timer}."
        case scope.TURN if step.remembered_done:
            return f"T{remembered[1:]} has ended; {one} still remembers it."
        case scope.TURN:
            timer = "its timer is pending" if _own_timer(step) is not None else "it has no timer"
            return f"T{remembered[1:]} waits in {one}; {timer}."
        case scope.RESCHEDULED:
            timer = "sets a new one" if _own_timer(step) is not None else "sets no new one"
            return f"{who} moves the deadline: {one} drops its timer and {timer}."
        case scope.DUE:
            puller = next((task.number for task in step.tasks if task.pulls), 0)
            now = (
                f"task {puller} is waiting for a chunk"
                if puller
                else f"{remembered} {'has ended' if step.remembered_done else 'is waiting'}"
            )
            return f"The timer of {one} is due, and the loop calls it; {now}."
        case scope.FIRED if step.remembered_done:
            return (
                f"The timer cancels {remembered}, which has already ended: "
                "cancel() returns False and does nothing."
            )
        case scope.FIRED:
            return f"The timer cancels {remembered}: the request is pending."
        case scope.LEAVING:
            return f"{step.error} leaves the body, in task {step.task}."
        case scope.LEFT if step.state == "finished":
            error = f", and {step.error} goes on" if step.error else ""
            return f"{who} leaves {one} in time: the timer is dropped{error}."
        case scope.LEFT if step.raises and step.task != step.remembered:
            return (
                f"{who} leaves {one}, which takes that task's {step.error} for its own "
                "and raises TimeoutError."
            )
        case scope.LEFT if step.raises:
            return f"{who} leaves {one}, which takes its cancellation back and raises TimeoutError."
        case scope.LEFT if step.error:
            return f"{who} leaves {one}, which is expired; {step.error} goes on."
        case scope.LEFT:
            return f"{who} leaves {one}, which is expired and raises nothing."
        case trace.ASKS:
            return f"{who} {step.what}; {remembered} has ended."
        case trace.GETS:
            return f"{who} {step.what}: the cancellation has not stopped it."
        case _ if step.task:
            return f"{who}: {step.what}."
        case _:
            return f"{step.what[:1].upper()}{step.what[1:]}."


def _line(step: Event) -> str:
    match step.what:
        case scope.ENTERED if _own_timer(step) is None:
            key = "entered without a timer"
        case scope.LEFT if step.raises:
            key = "raised"
        case scope.LEFT:
            key = step.state
        case _:
            key = step.what
    return LINES.get(key, "")


def _own_timer(step: Event) -> float | None:
    return dict(step.timers).get(step.scope)


def _timers(step: Event, many: bool, since: Mapping[int, int]) -> list[str]:
    """Return the timers of scopes and sleeps.

    Args:
        step: the step.
        many: whether the log has several scopes.
        since: the frame in which each scope set its timer.
    """
    scopes = [
        f"{f'scope {number}' if many else 'the scope'}: due "
        + (f"{after:g} s after step {since[number]}" if after > 0 else "at once")
        for number, after in step.timers
    ]
    sleeps = [
        f"task {task.number}'s sleep: due {task.sleeps:g} s after its start"
        for task in step.tasks
        if task.sleeps is not None
    ]
    return scopes + sleeps


def _tasks(step: Event) -> list[TaskLine]:
    lines: list[TaskLine] = []
    for (remembered, doing, words, cancelling, pulls), group in groupby(
        step.tasks, lambda task: (task.number == step.remembered, *_looks(task))
    ):
        members = [task.number for task in group]
        names = (
            [f"tasks {members[0]} to {members[-1]}"]
            if len(members) >= FOLDED
            else [f"task {number}" for number in members]
        )
        lines += [TaskLine(name, doing, words, cancelling, remembered, pulls) for name in names]
    return lines


def _looks(task: TaskState) -> tuple[str, str, int | None, bool]:
    done = task.doing == scope.DONE
    return task.doing, _words(task), None if done else task.cancelling, task.pulls and not done


def _words(task: TaskState) -> str:
    """Return what a task does beyond running, waiting or being done."""
    if task.doing == scope.DONE:
        return ""
    if task.doing == scope.RUNNING:
        words = ", pulling a chunk" if task.pulls else ""
    elif task.sleeps is not None:
        words = f" in sleep({task.sleeps:g})"
    else:
        words = " for a chunk" if task.pulls else ""
    return words
