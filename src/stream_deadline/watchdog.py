"""What a blocked thread cannot do for itself: act when its time is up.

One thread serves all synchronous calls of the process. It is there only while one of them is.
"""

import logging
import os
import threading
import time

from stream_deadline import scope
from stream_deadline.budget import NEVER, Budget
from stream_deadline.connection import Interrupt

logger = logging.getLogger("stream_deadline")

# Seconds that the end of the last call waits for the thread to be gone.
JOIN = 0.05


class Alarm:
    """Calls `interrupt` from the watchdog's thread when `budget` is used up; once, and not after `cancel()`.

    The caller sets `waiting` and then asks whether it `fired`; the watchdog has it fired and then looks whether somebody is
    `waiting`. So a connection that the watchdog takes for unused stays unused.

    Attributes:
        waiting: whether the caller waits for the server right now. Only then can the server's silence be too long.
    """

    __slots__ = ("_fired", "_scope", "budget", "interrupt", "looks_at", "waiting")

    def __init__(self, budget: Budget, interrupt: Interrupt) -> None:
        self.budget = budget
        self.interrupt = interrupt
        self._fired = False
        self.waiting = False
        self.looks_at = NEVER
        self._scope = scope.current()
        if budget.due < NEVER or budget.watches_chunks or self._scope is not None:
            _watchdog.add(self)
        if self._scope is not None:
            self._scope.add(self.use_up)

    @property
    def due(self) -> float:
        return self.budget.due if self.waiting else self.budget.total_at

    def fired(self) -> bool:
        return self._fired

    def fire(self) -> None:
        self._fired = True
        try:
            self.interrupt(self.waiting)
        except Exception:  # the caller gets its error all the same, as soon as it looks
            logger.exception("The interrupt of a synchronous stream failed, so that its connection stays open.")

    def look(self) -> None:
        """A bound may be nearer than it was."""
        if self.budget.due < self.looks_at:
            _watchdog.look()

    def use_up(self) -> None:
        """The caller has left. May be called from any thread."""
        self.budget.use_up()
        _watchdog.look()

    def cancel(self) -> None:
        if self._scope is not None:
            self._scope.discard(self.use_up)
        _watchdog.remove(self)


class _Watchdog:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: set[Alarm] = set()
        self._thread: threading.Thread | None = None
        self._next_look = NEVER

    def add(self, alarm: Alarm) -> None:
        with self._changed:
            self._alarms.add(alarm)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="stream-deadline watchdog", daemon=True)
                self._thread.start()
            elif alarm.due < self._next_look:
                self._changed.notify_all()

    def look(self) -> None:
        """A bound is nearer than it was."""
        with self._changed:
            self._changed.notify_all()

    def remove(self, alarm: Alarm) -> None:
        with self._changed:
            self._alarms.discard(alarm)
            thread = self._thread
            if self._alarms or thread is None or thread is threading.current_thread():
                return
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is not thread or bool(self._alarms), JOIN)
            if self._thread is thread:
                return  # somebody needs it again
        thread.join(JOIN)

    def _run(self) -> None:
        with self._changed:
            while self._alarms:
                now = time.monotonic()
                for alarm in [each for each in self._alarms if each.due <= now]:
                    # Under the lock, so that an alarm that was cancelled cannot fire: its connection may serve another call.
                    self._alarms.discard(alarm)
                    alarm.fire()
                for alarm in self._alarms:
                    alarm.looks_at = alarm.due
                self._next_look = min((alarm.looks_at for alarm in self._alarms), default=now)
                wait = self._next_look - time.monotonic()
                if wait > 0:
                    self._changed.wait(min(wait, threading.TIMEOUT_MAX))
            self._thread = None
            self._changed.notify_all()


_watchdog = _Watchdog()


def _forget_threads() -> None:
    """A fork takes the lock and the calls of its parent along, but not the thread."""
    global _watchdog
    _watchdog = _Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
