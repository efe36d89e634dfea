"""The clock that deadlines are measured by, which a test can move.

It is a variable and not a function, since a call reads it for each chunk.
"""

import time
from collections.abc import Callable

monotonic: Callable[[], float] = time.monotonic
"""Seconds that never go back. A call keeps the clock that it began with."""
is_virtual = False
_jumps: dict[Callable[[], None], None] = {}


def notify_of_jumps(look: Callable[[], None]) -> None:
    """Call `look` whenever a test moves the clock, since timers do not notice that."""
    if is_virtual:
        _jumps[look] = None


def jumped() -> None:
    """Call everything that waits for jumps of the clock."""
    for look in tuple(_jumps):
        look()


def install(clock: Callable[[], float]) -> Callable[[], float]:
    """Measure the deadlines of new calls by another clock.

    Returns:
        The clock before.
    """
    global monotonic, is_virtual
    before, monotonic = monotonic, clock
    is_virtual = clock is not time.monotonic
    if not is_virtual:
        _jumps.clear()
    return before
