"""A response as a sequence of timed steps, which scenarios change as they pass."""

import math
import re
from collections.abc import Generator
from typing import Protocol, TypeAlias

Step: TypeAlias = tuple[float, bytes, int]
"""The loop time in seconds, the bytes to send (b"": none), and the tokens made for them."""

Steps: TypeAlias = Generator[Step, None, None]
"""Steps, each pulled when the previous one is done.

Closing the generator frees what the response holds.
"""

WAIT: Step = (math.inf, b"", 0)
"""A step that waits until the response is woken."""

LOOK = 0.02
"""Seconds between two checks of a step that waits to be woken, as for a slot."""

DONE_LINE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\][\r\n]")

COMMENT = b": keep-alive\n\n"
"""The comment that vLLM sends with --sse-keep-alive-interval."""


def before_token(steps: Steps, after: int) -> Steps:
    """Yield the steps up to token `after` + 1, which is made but held back.

    The opening of a stream comes with the first token, so it is held back too if `after` is 0.
    `steps` stays open, so that the slot stays held.
    """
    made = 0
    for at, data, tokens in steps:
        if made + tokens > after or (after == 0 and data and not data.startswith(b":")):
            yield at, b"", tokens
            return
        made += tokens
        yield at, data, tokens


def forever() -> Steps:
    """Wait until the client disconnects or the server ends."""
    while True:
        yield WAIT


def is_done(data: bytes) -> bool:
    """Tell whether an event is `[DONE]`, in any form of the standard."""
    return DONE_LINE.search(data) is not None


class Clock(Protocol):
    """A source of the loop's time."""

    def now(self) -> float: ...


def every(seconds: float, payload: bytes, clock: Clock, *, at_once: bool = True) -> Steps:
    """Yield the same payload every `seconds` seconds, for ever."""
    at = clock.now()
    if at_once:
        yield at, payload, 0
    while True:
        at += seconds
        yield at, payload, 0


def kept_alive(steps: Steps, seconds: float, clock: Clock) -> Steps:
    """Yield the steps, and a comment after each `seconds` seconds without a step."""
    last = clock.now()
    for at, data, tokens in steps:
        while last + seconds < at < math.inf:
            last += seconds
            yield last, COMMENT, 0
        yield at, data, tokens
        if data:
            last = clock.now()
