"""Another attempt, if the budget allows for it.

The OpenAI SDK retries inside its clients, each time with a fresh time-out and, in synchronous calls, asleep where nothing can wake
it. Its clients are therefore told not to, and another attempt is made here, with two differences:

* an attempt that would begin after the deadline is not waited for; the error that was there is raised at once;
* a request that may have started a generation is not sent again (RFC 9110, 9.2.2). What says that none has begun: the request did
  not leave; the server is busy (429, or 503 with a time to come again); the server asks for it (`x-should-retry`). A gateway's 502
  or 504 says nothing of the kind: the server behind it may be at work. Once in a call a pooled connection may turn out to have been
  given up by the server, before a byte came back.

Source of the pauses: `_calculate_retry_timeout` in openai/_base_client.py, openai 3.52.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from email.utils import mktime_tz, parsedate_tz
from typing import TypeVar

import openai

from stream_deadline.budget import Budget
from stream_deadline.connection import Line

T = TypeVar("T")

LONGEST_ASKED = 120.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
# httpx's names for what goes wrong before a request has left.
NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "WriteError", "WriteTimeout"}
# And for a connection that ended, in order or by a reset, as opposed to one that is silent.
CLOSED, RESET = {"RemoteProtocolError"}, {"ReadError", "WriteError", "CloseError"}


class Attempts:
    """The attempts of one call: `max_retries` more than one."""

    def __init__(self, max_retries: int, budget: Budget, line: Line) -> None:
        self._left = max_retries
        self._made = 0
        self._found_stale = False
        self._budget = budget
        self._line = line

    async def over(self, start: Callable[[], AsyncIterable[T]]) -> AsyncIterator[T]:
        """The items of the first attempt that gets an answer. `start` makes one attempt."""
        while True:
            try:
                async for item in start():
                    yield item
                return
            except openai.APIError as error:
                wait = self._wait_before_another(error)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    def over_sync(self, start: Callable[[], Iterable[T]]) -> Iterator[T]:
        """As `over`, in the calling thread."""
        while True:
            try:
                yield from start()
                return
            except openai.APIError as error:
                wait = self._wait_before_another(error)
                if wait is None:
                    raise
            self._line.pause(wait)

    def _wait_before_another(self, error: openai.APIError) -> float | None:
        """Seconds to wait before another attempt; None: there is to be none."""
        if self._left <= 0 or self._line.answered or not self._may_pass(error):
            return None
        asked = _asked_wait(error)
        if self._found_stale and isinstance(error, openai.APIConnectionError) and self._line.was_stale():
            wait = 0.0  # the next one is new
        elif asked is None:
            wait = min(FIRST_WAIT * 2**self._made, LONGEST_WAIT) * random.uniform(0.75, 1)
        else:
            wait = asked
        if wait >= self._budget.due - self._budget.clock():
            return None
        self._left -= 1
        self._made += 1
        return wait

    def _may_pass(self, error: openai.APIError) -> bool:
        """Whether the error may pass by itself, and has not cost the server a generation."""
        if isinstance(error, openai.APIStatusError):
            if (_asked_wait(error) or 0) > LONGEST_ASKED:
                return False
            told = error.response.headers.get("x-should-retry")
            if told in ("true", "false"):
                return bool(told == "true")
            asked = any(name in error.response.headers for name in ("retry-after", "retry-after-ms"))
            return error.status_code == 429 or (error.status_code == 503 and asked)
        if not isinstance(error, openai.APIConnectionError):
            return False
        causes = {type(cause).__name__ for cause in _causes(error)}
        if causes & NOT_SENT and not self._line.was_stale():
            return True
        stale = self._line.was_stale(reset=bool(causes & RESET)) and bool(causes & (CLOSED | RESET))
        if stale and not self._found_stale:
            self._found_stale = True
            return True
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def _asked_wait(error: openai.APIError) -> float | None:
    """Seconds the server asked to wait: `Retry-After-Ms`, or `Retry-After` in seconds or as a date; None: it asked for nothing."""
    if not isinstance(error, openai.APIStatusError):
        return None
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return wait if wait > 0 else None
    date = parsedate_tz(headers.get("retry-after", ""))
    wait = 0.0 if date is None else mktime_tz(date) - time.time()
    return wait if wait > 0 else None
