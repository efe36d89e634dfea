"""One clock for all streams, which runs all turns of one millisecond together, without drift."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

IDLE = -1
LATEST = 1e11  # loop time in seconds; a turn that is due later waits for a `wake`
Turn = Callable[[float], float]
"""A function of the loop's time that does what is due, and returns when to call it again.

`math.inf` means that it is called only after a `wake`.
"""


class Alarm:
    """One turn's place on the clock; `tick` is its millisecond, or `IDLE`."""

    __slots__ = ("tick", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.tick = IDLE


class Pacer:
    """A clock that calls each turn at its time, to the nearest millisecond.

    Late turns are called at once. The clock decides how many tokens a millisecond can carry: each
    stream has its own schedule, and all that are due share one call of the event loop.
    """

    def __init__(self) -> None:
        # A heap of milliseconds and not of streams, since thousands of streams share a few of them.
        self._ticks: list[int] = []
        self._alarms: dict[int, list[Alarm]] = {}
        self._timer: asyncio.Handle | None = None
        self._set_for = 0

    def wake(self, alarm: Alarm) -> None:
        """Call the alarm's turn now, whatever its time was."""
        self._set(alarm, 0)
        self._set_timer()

    def forget(self, alarm: Alarm) -> None:
        """Cancel an alarm."""
        alarm.tick = IDLE  # it stays in the list of its millisecond, but has no effect

    def _set(self, alarm: Alarm, tick: int) -> None:
        alarm.tick = tick
        if (alarms := self._alarms.get(tick)) is None:
            self._alarms[tick] = [alarm]
            heappush(self._ticks, tick)
        else:
            alarms.append(alarm)

    def _set_timer(self) -> None:
        if not self._ticks:
            return
        tick = self._ticks[0]
        if self._timer is not None:
            if self._set_for <= tick:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._set_for = tick
        self._timer = (
            loop.call_at(tick / 1000, self._tick)
            if tick > loop.time() * 1000
            else loop.call_soon(self._tick)
        )

    def _tick(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now_tick = int(loop.time() * 1000 + 0.5)
        # The end of this millisecond, so that everything rounded to it is due.
        now = (now_tick + 0.501) / 1000
        at_once = []  # turns with more to do, after the loop has checked its sockets
        while self._ticks and self._ticks[0] <= now_tick:
            tick = heappop(self._ticks)
            for alarm in self._alarms.pop(tick):
                if alarm.tick != tick:
                    continue  # it was woken or forgotten in the meantime
                alarm.tick = IDLE
                try:
                    due = alarm.turn(now)
                except Exception as error:  # a fault of one stream must not affect others
                    loop.call_exception_handler(
                        {
                            "message": "A fault of the server ended a stream.",
                            "exception": error,
                        }
                    )
                    continue
                if due < LATEST and alarm.tick == IDLE:
                    if due <= now:
                        at_once.append(alarm)
                        continue
                    alarm.tick = then = int(due * 1000 + 0.5)
                    if then in self._alarms:
                        self._alarms[then].append(alarm)
                    else:
                        self._alarms[then] = [alarm]
                        heappush(self._ticks, then)
        for alarm in at_once:
            if alarm.tick == IDLE:
                self._set(alarm, 0)
        self._set_timer()
