"""Small defects of the library that a soak must find."""

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from stream_deadline import _bounded, _budget, _connection, _reader, _shutdown, _watchdog
from stream_lab.soak.plan import Plan

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Defect:
    """A planted defect.

    Attributes:
        name: what is wrong.
        plant: changes the library until the patch is undone.
        shows: words of the violation that tells of it.
        where: the calls that can show it, so that a test needs few.
        calls: how many of them a test plays.
    """

    name: str
    plant: Plant
    shows: str
    where: Callable[[Plan], bool]
    calls: int = 6


def _nothing(*_: Any, **__: Any) -> None: ...


def _only_cancels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_reader.Reader, "_cut", _nothing)


def _no_shutdown(patch: pytest.MonkeyPatch) -> None:
    for module in (_shutdown, _connection):
        patch.setattr(module, "end_stream", _nothing)
    patch.setattr("stream_deadline._find_connection.end_stream", _nothing)


def _alarms_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_watchdog.Alarm, "cancel", _nothing)


def _readers_alarms_stay(patch: pytest.MonkeyPatch) -> None:
    def cancel_timers(self: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    patch.setattr(_reader.Reader, "_cancel_timers", cancel_timers)


def _clock_is_not_read(patch: pytest.MonkeyPatch) -> None:
    async def pull(self: Any) -> Any:
        reader = self._reader
        while True:
            if reader.buffer:
                return reader.take()
            if reader.ended:
                break
            await reader.wait()
        await reader.settle()
        if (failure := reader.failure) is not None:
            reader.failure = None
            raise failure
        raise StopAsyncIteration

    patch.setattr(_bounded.BoundedStream, "__anext__", pull)


def _source_is_not_closed(patch: pytest.MonkeyPatch) -> None:
    """Leave the source of a reader open, and the connection with it."""
    kept: list[Any] = []

    async def keep(stream: Any) -> None:
        kept.append(stream)

    patch.setattr(_reader, "_close", keep)
    patch.setattr(_reader.Reader, "_cut", _nothing)
    patch.setattr(_reader.Reader, "_insist", lambda self, tries: self._cancel_timers())


def _task_is_left(patch: pytest.MonkeyPatch) -> None:
    init = _reader.Reader.__init__

    def begin(self: Any, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        self._loop.create_task(asyncio.sleep(3600))

    patch.setattr(_reader.Reader, "__init__", begin)


def _thread_is_left(patch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    cancel = _watchdog.Alarm.cancel

    def leave(self: Any) -> None:
        if not self._over:
            threading.Thread(target=over.wait, args=(20.0,), daemon=True).start()
        cancel(self)

    patch.setattr(_watchdog.Alarm, "cancel", leave)


def _file_is_left(patch: pytest.MonkeyPatch) -> None:
    cancel = _watchdog.Alarm.cancel

    def leave(self: Any) -> None:
        if not self._over:
            os.pipe()
        cancel(self)

    patch.setattr(_watchdog.Alarm, "cancel", leave)


def _budgets_are_kept(patch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    init = _budget.Budget.__init__

    def begin(self: Any, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        kept.append(self)

    patch.setattr(_budget.Budget, "__init__", begin)


def _error_is_lost(patch: pytest.MonkeyPatch) -> None:
    finished = _reader.Reader._finished

    async def fails() -> None:
        raise LookupError("lost")

    def lose(self: Any, task: Any) -> None:
        finished(self, task)
        self._loop.create_task(fails())

    patch.setattr(_reader.Reader, "_finished", lose)


def _coroutine_is_not_awaited(patch: pytest.MonkeyPatch) -> None:
    close = _reader._close

    async def forgets(stream: Any) -> None:
        asyncio.sleep(0)  # type: ignore[unused-coroutine]
        await close(stream)

    patch.setattr(_reader, "_close", forgets)


def _late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_budget.Budget, "_find_total", _shifted(0.4))


def _early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_budget.Budget, "_find_total", _shifted(-0.1))


def _shifted(by: float) -> Callable[[Any], None]:
    find = _budget.Budget._find_total

    def find_total(self: Any) -> None:
        find(self)
        self._total = (self._total[0] + by, *self._total[1:])
        self.total_at += by
        self._find_due()

    return find_total


def _reports_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_budget.Budget, "report", _nothing)


def _cancellation_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    wait = _reader.Reader.wait

    async def swallow(self: Any) -> None:
        try:
            await wait(self)
        except asyncio.CancelledError:
            if self.budget.total_at < float("inf"):
                self.expire()

    patch.setattr(_reader.Reader, "wait", swallow)


def _in_loop(plan: Plan) -> bool:
    return plan.style.where == "loop" and not plan.style.served and plan.limit < 0.3


def _reads_endless(plan: Plan) -> bool:
    return _in_loop(plan) and plan.style.streamed and not plan.ends and plan.ending == "read"


def _in_thread(plan: Plan) -> bool:
    return plan.style.where == "thread" and plan.style.name.startswith("bounded_sync")


def _far(plan: Plan) -> bool:
    return plan.limit > 50 and plan.ending in ("read", "close") and not plan.crowded


DEFECTS = [
    Defect(
        "the reader is cancelled, and the connection is not shut down",
        _only_cancels,
        "the server was held",
        lambda plan: plan.style.name == "bounded, clings" and plan.limit < 1 and not plan.ends,
    ),
    Defect(
        "no connection is shut down",
        _no_shutdown,
        "it was late",
        lambda plan: _in_thread(plan) and plan.limit < 1 and plan.fault.name == "stalls",
        4,
    ),
    Defect("alarms are never called off", _alarms_stay, "left behind", _far),
    Defect(
        "the alarms of readers are never called off",
        _readers_alarms_stay,
        "left behind",
        lambda plan: _far(plan) and plan.style.where == "loop" and not plan.style.served,
    ),
    Defect(
        "the clock is not read before a chunk is handed over",
        _clock_is_not_read,
        "a chunk came",
        lambda plan: plan.ending == "busy" and plan.style.where == "own loop" and plan.limit < 1.5,
        16,
    ),
    Defect(
        "the source is not closed",
        _source_is_not_closed,
        "the server still works on it",
        _reads_endless,
        4,
    ),
    Defect("a task is left", _task_is_left, "left behind: task", _reads_endless, 4),
    Defect(
        "a thread is left",
        _thread_is_left,
        "left behind: thread",
        lambda plan: _in_thread(plan) and plan.limit < 1,
        4,
    ),
    Defect("a file is left", _file_is_left, "left behind: file", _reads_endless, 4),
    Defect("budgets are kept", _budgets_are_kept, "object Budget", _reads_endless, 4),
    Defect(
        "an error is never retrieved", _error_is_lost, "reported: event loop", _reads_endless, 4
    ),
    Defect(
        "a coroutine is never awaited",
        _coroutine_is_not_awaited,
        "never awaited",
        _reads_endless,
        4,
    ),
    Defect("calls end late", _late, "it was late", _reads_endless, 4),
    Defect("calls end early", _early, "early", _reads_endless, 4),
    Defect(
        "the end of a call is not reported", _reports_nothing, "not reported", _reads_endless, 4
    ),
    Defect(
        "a cancellation becomes a deadline",
        _cancellation_is_swallowed,
        "its deadline was reported",
        lambda plan: (
            _in_loop(plan) and plan.ending == "cancel" and plan.moment < 0.5 and not plan.ends
        ),
    ),
]
