"""An answer as a sequence of timed steps, which scenarios change as they pass."""

import math
from collections.abc import Generator
from typing import Protocol, TypeAlias

Step: TypeAlias = tuple[float, bytes, int]
"""When (loop time in seconds), which bytes (none: b""), and how many tokens were made for it."""

Steps: TypeAlias = Generator[Step, None, None]
"""Each step is pulled as soon as the one before is done. Closing it frees what the answer holds."""

WAIT: Step = (math.inf, b"", 0)
"""Nothing more until somebody wakes the answer."""


COMMENT = b": keep-alive\n\n"
"""What vLLM sends with --sse-keep-alive-interval."""


def before_token(steps: Steps, after: int) -> Steps:
    """The steps up to the moment when token `after` + 1 has been made and would be sent; that token is held back.

    What opens a stream comes with the first token, so for 0 it is held back too. `steps` stays open: whoever calls this still holds
    the slot.
    """
    made = 0
    for at, data, tokens in steps:
        if made + tokens > after or (after == 0 and data and data != COMMENT):
            yield at, b"", tokens
            return
        made += tokens
        yield at, data, tokens


def forever() -> Steps:
    """Nothing, for ever: until the client leaves or the server ends."""
    while True:
        yield WAIT


class Clock(Protocol):
    def now(self) -> float: ...


def every(seconds: float, payload: bytes, clock: Clock, *, at_once: bool = True) -> Steps:
    """The same payload every so many seconds, for ever."""
    at = clock.now()
    if at_once:
        yield at, payload, 0
    while True:
        at += seconds
        yield at, payload, 0
