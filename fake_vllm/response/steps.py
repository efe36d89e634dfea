"""A response as a sequence of timed steps, which scenarios change as they pass."""

import math
from collections.abc import Generator
from typing import Protocol, TypeAlias

Step: TypeAlias = tuple[float, bytes, int]
"""When (loop time in seconds), which bytes (none: b""), and how many tokens were made for it."""

Steps: TypeAlias = Generator[Step, None, None]
"""Each step is pulled as soon as the one before is done. Closing the generator frees what the response holds."""

WAIT: Step = (math.inf, b"", 0)
"""Nothing more until the response is woken."""

COMMENT = b": keep-alive\n\n"
"""What vLLM sends with --sse-keep-alive-interval."""


def before_token(steps: Steps, after: int) -> Steps:
    """Yield the steps up to token `after` + 1, which is made but held back.

    What opens a stream comes with the first token, so for 0 it is held back too. `steps` stays open, so that the slot is still held.
    """
    made = 0
    for at, data, tokens in steps:
        if made + tokens > after or (after == 0 and data and data != COMMENT):
            yield at, b"", tokens
            return
        made += tokens
        yield at, data, tokens


def forever() -> Steps:
    """Yield nothing until the client leaves or the server ends."""
    while True:
        yield WAIT


class Clock(Protocol):
    def now(self) -> float: ...


def every(seconds: float, payload: bytes, clock: Clock, *, at_once: bool = True) -> Steps:
    """Yield the same payload every `seconds` seconds, without end."""
    at = clock.now()
    if at_once:
        yield at, payload, 0
    while True:
        at += seconds
        yield at, payload, 0


def kept_alive(steps: Steps, seconds: float, clock: Clock) -> Steps:
    """Yield the steps, and a comment after each `seconds` seconds in which nothing is due."""
    last = clock.now()
    for at, data, tokens in steps:
        while last + seconds < at < math.inf:
            last += seconds
            yield last, COMMENT, 0
        yield at, data, tokens
        if data:
            last = clock.now()
