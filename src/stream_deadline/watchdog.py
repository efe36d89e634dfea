"""What a blocked thread, or an event loop that stands still, cannot do for itself: act when its time is up.

One thread serves all calls of the process. It is there while one of them is, and a quarter of a second longer.
"""

import atexit
import heapq
import itertools
import logging
import os
import threading
import time

from stream_deadline import scope
from stream_deadline.budget import NEVER, Budget
from stream_deadline.connection import Interrupt

logger = logging.getLogger("stream_deadline")

# The most seconds that the thread sleeps. So the end of a call need not wake it, which would cost more than all the rest.
LONGEST_SLEEP = 0.25


class Alarm:
    """Calls `interrupt` from the watchdog's thread when `budget` is used up; once, and not after `cancel()`.

    The caller sets `waiting` and then asks whether it `fired`; the watchdog has it fired and then looks whether somebody is
    `waiting`. So a connection that the watchdog takes for unused stays unused.

    Attributes:
        waiting: whether the caller waits for the server right now. Only then can the server's silence be too long.
        set_for: when it will be looked at next.
    """

    __slots__ = ("_after", "_budget", "_fired", "_interrupt", "_lock", "_over", "_scope", "set_for", "waiting")

    def __init__(self, budget: Budget, interrupt: Interrupt, *, after: float = 0.0, alone: bool = False) -> None:
        """Set it.

        Args:
            budget: whose end it is for.
            interrupt: called from the watchdog's thread, or from that of a caller who leaves.
            after: seconds after the end of the budget, for a call that has a timer of its own that should come first.
            alone: whether the call itself listens for a caller who leaves.
        """
        self._budget = budget
        self._interrupt = interrupt
        self._after = after
        self._fired = self._over = False
        # A garbage collection may close a stream, and so call its alarm off, in the middle of anything.
        self._lock = threading.RLock()
        self.waiting = False
        self.set_for = NEVER
        self._scope = None if alone else scope.current()
        if (due := budget.due + after) < NEVER:
            self.set_for = due
            _watchdog.add(self)
        if self._scope is not None:
            self._scope.add(self.use_up)

    def fired(self) -> bool:
        return self._fired

    def ring(self) -> float | None:
        """Fire if it is time to. When to look again; None: never."""
        with self._lock:
            if self._over or self._fired:
                return None
            due = self._due()
            late = time.monotonic() - due
            if late < 0 or self._budget.lifted() or (self.waiting and self._budget.forgive(late)):
                self.set_for = self._due()
                return self.set_for
            self._fired = True
            try:
                self._interrupt(self.waiting)
            except Exception:  # the caller gets its error all the same, as soon as it looks
                logger.exception("The interrupt of a stream failed, so that its connection stays open.")
            return None

    def look(self) -> None:
        """A bound may be nearer than it was."""
        with self._lock:  # or the watchdog might put off what is being set
            if (due := self._due()) >= self.set_for:
                return
            self.set_for = due
        _watchdog.add(self)

    def use_up(self) -> None:
        """The caller has left. May be called from any thread."""
        self._budget.use_up()
        self.ring()

    def cancel(self) -> None:
        if self._over:
            return
        with self._lock:
            self._over = True
        if self._scope is not None:
            self._scope.discard(self.use_up)
        _watchdog.remove(self)

    def _due(self) -> float:
        budget = self._budget
        return (budget.due if self.waiting else budget.total_at) + self._after


class _Watchdog:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: set[Alarm] = set()
        self._queue: list[tuple[float, int, Alarm]] = []
        self._count = itertools.count()
        self._thread: threading.Thread | None = None
        self._next_look = NEVER
        self._closed = False

    def add(self, alarm: Alarm) -> None:
        """Look at it when it is `set_for`, and no more at the time that it was set for before."""
        with self._changed:
            if self._closed:
                return
            self._alarms.add(alarm)
            heapq.heappush(self._queue, (alarm.set_for, next(self._count), alarm))
            if self._thread is None or not self._thread.is_alive():
                self._start()
            elif alarm.set_for < self._next_look:
                self._changed.notify_all()

    def remove(self, alarm: Alarm) -> None:
        with self._changed:
            self._alarms.discard(alarm)
            if len(self._queue) > 64 and len(self._queue) > 2 * len(self._alarms):
                # What was called off would otherwise stay in the queue, with all that it knows, until its time comes.
                self._queue = [each for each in self._queue if each[2] in self._alarms]
                heapq.heapify(self._queue)

    def close(self) -> None:
        """End the thread, for good: at the interpreter's end one that waits would keep its lock for ever."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="stream-deadline watchdog", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # since Python 3.12 there are no new threads once the interpreter is about to end
            self._thread, self._closed = None, True

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = []
                while self._queue and self._queue[0][0] <= now:
                    when, _, alarm = heapq.heappop(self._queue)
                    if when == alarm.set_for:
                        due.append(alarm)
                if not due:
                    if self._closed or not self._alarms:
                        self._queue.clear()
                        self._thread = None
                        return
                    self._next_look = min(self._queue[0][0] if self._queue else NEVER, now + LONGEST_SLEEP)
                    self._changed.wait(self._next_look - now)
                    self._next_look = -NEVER
                    continue
            for alarm in due:
                again = alarm.ring()
                with self._changed:
                    if again is None:
                        self._alarms.discard(alarm)
                    elif alarm in self._alarms:
                        heapq.heappush(self._queue, (again, next(self._count), alarm))


_watchdog = _Watchdog()


def _forget() -> None:
    """A fork takes the lock and the calls of its parent along, but not the thread."""
    global _watchdog
    _watchdog = _Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _watchdog.close())
