"""Clocks that stand still until a test moves them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from stream_deadline import _clock


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time

    def move(self, to: float) -> None:
        """Let it show another time."""
        self.time = to


class Far(Clock):
    """A clock far ahead of the machine's, by which the watchdog goes: it never acts."""

    def __init__(self) -> None:
        super().__init__(time.monotonic() + 1e6)


@contextmanager
def machine_stands_still() -> Iterator[Clock]:
    """Measure deadlines by a clock that stands at the machine's time, and moves by hand."""
    before, clock = _clock.monotonic, Clock(float(int(time.monotonic())))  # seconds are exact then
    _clock.monotonic = clock
    try:
        yield clock
    finally:
        _clock.monotonic = before
