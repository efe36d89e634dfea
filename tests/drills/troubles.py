"""Faults inside the client's own process."""

import gc
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from stream_deadline import _clock

LOOK_UP = 3.0
"""Seconds that a slow look-up of a name takes."""
BLOCKED = 2.5
"""Seconds for which the consumer blocks its thread, and its event loop if it has one."""

STEP = 3600.0

Each = Callable[[int], None]
"""Called with the number of pieces after each piece of an answer."""


def _nothing(pieces: int) -> None:
    """Leave the call alone."""


def names_fail() -> Each:
    """Let every look-up of a host name fail."""

    def fails(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    socket.getaddrinfo = fails
    return _nothing


def names_block() -> Each:
    """Let a look-up take `LOOK_UP` seconds, as a resolver does that gets no answer."""
    real = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(LOOK_UP)
        return real(*args, **kwargs)

    socket.getaddrinfo = slow
    return _nothing


def consumer_blocks() -> Each:
    """Block the consumer's thread once, after its third piece."""

    def each(pieces: int) -> None:
        if pieces == 3:
            time.sleep(BLOCKED)

    return each


def collections() -> Each:
    """Collect garbage with each piece, which comes in reference cycles, and at every allocation."""
    gc.set_threshold(10, 1, 1)

    def each(pieces: int) -> None:
        cycle: list[Any] = [pieces]
        cycle.append(cycle)
        gc.collect()

    return each


def no_collections() -> Each:
    """Turn the garbage collector off, so that only reference counts free anything."""
    gc.disable()
    return _nothing


def wall_clock_steps() -> Each:
    """Step the wall clock an hour forth and an hour back with each piece."""
    real, real_ns, off = time.time, time.time_ns, [0.0]
    time.time = lambda: real() + off[0]
    time.time_ns = lambda: real_ns() + int(off[0] * 1e9)

    def each(pieces: int) -> None:
        off[0] = -STEP if off[0] > 0 else STEP

    return each


def suspended() -> Each:
    """Let the monotonic clock stand still while the process does, as in a suspended machine.

    The drill stops the process, and writes the seconds of that to the file that `ASLEEP` names.
    CLOCK_MONOTONIC of Linux does not count the time of a suspended machine (clock_gettime(2)).
    """
    file = os.open(os.environ["ASLEEP"], os.O_RDONLY)
    real = time.monotonic

    def awake() -> float:
        slept: float = struct.unpack("d", os.pread(file, 8, 0))[0]
        return real() - slept

    time.monotonic = _clock.monotonic = awake
    return _nothing


TROUBLES: dict[str, Callable[[], Each]] = {
    each.__name__: each
    for each in (
        names_fail,
        names_block,
        consumer_blocks,
        collections,
        no_collections,
        wall_clock_steps,
        suspended,
    )
}
