"""Keep one clock for all streams: what is due in one millisecond is done together, without drift."""

import asyncio
import math
from collections.abc import Callable
from heapq import heappop, heappush

IDLE = -1
Turn = Callable[[float], float]
"""Does what is due at the given loop time and returns when to be called again; `math.inf`: not until woken."""


class Alarm:
    """One turn's place on the clock. `tick`: the millisecond it is set to, or `IDLE`."""

    __slots__ = ("tick", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.tick = IDLE


class Pacer:
    """Calls each turn at its time, to the nearest millisecond; late ones at once.

    It sets how many tokens a millisecond can carry: each stream has a schedule of its own, and all that are due share one call of the loop.
    """

    def __init__(self) -> None:
        # A heap of the milliseconds, not of the streams: thousands of streams share a few of them.
        self._ticks: list[int] = []
        self._alarms: dict[int, list[Alarm]] = {}
        self._timer: asyncio.Handle | None = None
        self._set_for = 0

    def wake(self, alarm: Alarm) -> None:
        """Call the alarm's turn now, whatever it was set to."""
        self._set(alarm, 0)
        self._set_timer()

    def forget(self, alarm: Alarm) -> None:
        alarm.tick = IDLE  # it is left in its millisecond's list, and does nothing then

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
        now = (
            now_tick + 0.501
        ) / 1000  # the end of this millisecond: all that was rounded to it is due
        at_once = []  # more to do, but after the loop has looked at its sockets
        while self._ticks and self._ticks[0] <= now_tick:
            tick = heappop(self._ticks)
            for alarm in self._alarms.pop(tick):
                if alarm.tick != tick:
                    continue  # it was woken or forgotten meanwhile
                alarm.tick = IDLE
                try:
                    due = alarm.turn(now)
                except Exception as error:  # a fault of one stream is not the others'
                    loop.call_exception_handler(
                        {
                            "message": "A stream ended with a fault of the server.",
                            "exception": error,
                        }
                    )
                    continue
                if due < math.inf and alarm.tick == IDLE:
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
