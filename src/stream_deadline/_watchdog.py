"""Act at the deadline for threads that are blocked and event loops that stand still.

One thread serves all calls of the process. It lives as long as a call does, and a quarter of a
second longer.
"""

import atexit
import heapq
import itertools
import logging
import os
import threading
from collections.abc import Callable

from stream_deadline import _clock
from stream_deadline._budget import Budget
from stream_deadline._call_group import current_group
from stream_deadline._deadline import NEVER
from stream_deadline._shutdown import Interrupt

logger = logging.getLogger("stream_deadline")

# The most seconds that the thread sleeps. So the end of a call need not wake it, which would cost
# more than the rest of the call's bookkeeping.
LONGEST_SLEEP = 0.25


class Alarm:
    """Calls `interrupt` from the watchdog's thread when a budget is used up.

    That happens once, and not after `cancel()`. The call sets `waiting` and then asks whether the
    alarm `fired`; the watchdog sets the alarm to fired and then looks at `waiting`. So a connection
    that the watchdog finds unused stays unused.

    Attributes:
        waiting: whether the call waits for the server now. Only then does a silence count.
        set_for: when the watchdog looks at it next.
    """

    __slots__ = (
        "_after",
        "_alone",
        "_budget",
        "_fired",
        "_group",
        "_interrupt",
        "_lock",
        "_over",
        "set_for",
        "waiting",
    )

    def __init__(
        self, budget: Budget, interrupt: Interrupt, *, after: float = 0.0, alone: bool = False
    ) -> None:
        """Set the alarm.

        Args:
            budget: the alarm goes off at its end.
            interrupt: called from the watchdog's thread, or from the one that ends a call group.
            after: seconds after the end of the budget, for a call that has its own timer first.
            alone: whether the call itself is a member of the call group.
        """
        self._budget = budget
        self._interrupt = interrupt
        self._after = after
        self._alone = alone
        self._fired = self._over = False
        # A garbage collection may close a stream, and so cancel its alarm, at any moment.
        self._lock = threading.RLock()
        self.waiting = False
        self.set_for = NEVER
        self._group = None if alone else current_group()
        if (due := budget.due + after) < NEVER:
            self.set_for = due
            _watchdog.add(self)
        if self._group is not None:
            self._group.add(self.revoke)

    def fired(self) -> bool:
        """Return whether it has gone off."""
        return self._fired

    def ring(self) -> float | None:
        """Go off if it is time, and return when to look again; None: never."""
        with self._lock:
            if self._over or self._fired:
                return None
            due = self._due()
            late = _clock.monotonic() - due
            budget = self._budget
            if late < 0 or budget.was_lifted() or (self.waiting and budget.forgive(late)):
                self.set_for = self._due()
                return self.set_for
            self._fired = True
            try:
                self._interrupt(self.waiting)
            except Exception:  # the call gets its error all the same, as soon as it looks
                logger.exception("The interrupt of a stream failed, so its connection stays open.")
        if not (self.waiting or self._alone):
            # The call may never look. A hook that blocks must not delay other alarms.
            _in_background(budget.report)
        return None

    def look(self) -> None:
        """Look at the budget again, since a bound may have come nearer."""
        with self._lock:  # or the watchdog might postpone what is being set
            if (due := self._due()) >= self.set_for:
                return
            self.set_for = due
        _watchdog.add(self)

    def revoke(self) -> None:
        """End the call, since its client has disconnected. Safe from any thread."""
        self._budget.revoke()
        self.ring()

    def cancel(self) -> None:
        """Call the alarm off."""
        if self._over:
            return
        with self._lock:
            self._over = True
        if self._group is not None:
            self._group.discard(self.revoke)
        _watchdog.remove(self)

    def _due(self) -> float:
        budget = self._budget
        return (budget.due if self.waiting else budget.total_at) + self._after


def _in_background(report: Callable[[], None]) -> None:
    try:
        threading.Thread(target=report, name="stream-deadline expiry", daemon=True).start()
    except RuntimeError:  # no thread can be started
        logger.exception("A call that a bound has ended could not be reported.")


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
        """Look at an alarm when it is `set_for`, and no more at an earlier setting."""
        with self._changed:
            if self._closed:
                return
            self._alarms.add(alarm)
            heapq.heappush(self._queue, (alarm.set_for, next(self._count), alarm))
            _clock.notify_of_jumps(self.wake)
            if self._thread is None or not self._thread.is_alive():
                self._start()
            elif alarm.set_for < self._next_look:
                self._changed.notify_all()

    def remove(self, alarm: Alarm) -> None:
        with self._changed:
            self._alarms.discard(alarm)
            if len(self._queue) > 16 and len(self._queue) > 2 * len(self._alarms):
                # A cancelled alarm would stay in the queue, with all it refers to, until its time.
                self._queue = [each for each in self._queue if each[2] in self._alarms]
                heapq.heapify(self._queue)

    def wake(self) -> None:
        """Look at the clock now."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread for good, since it would keep its lock at the interpreter's end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=self._run, name="stream-deadline watchdog", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # Python 3.12 starts no threads once the interpreter is ending
            self._thread, self._closed = None, True

    def _run(self) -> None:
        while True:
            with self._changed:
                now = _clock.monotonic()
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
                    self._next_look = min(
                        self._queue[0][0] if self._queue else NEVER, now + LONGEST_SLEEP
                    )
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
    """Start anew after a fork, which copies the lock but not the thread."""
    global _watchdog
    _watchdog = _Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _watchdog.close())
