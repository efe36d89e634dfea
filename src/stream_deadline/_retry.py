"""Retry a call inside its budget, and never start a second generation.

The OpenAI SDK retries inside its clients, each time with a fresh time-out, and in synchronous calls
asleep where nothing can wake it. Its clients are therefore told not to, and the retries are made
here, with two differences:

* An attempt that would begin after the deadline is not waited for; the error is raised at once.
* A request that may have started a generation is not sent again (RFC 9110, 9.2.2). These say that
  none has begun: the request did not leave; the server is busy (429, or 503 with a time to come
  again); the server asks for a retry (`x-should-retry`). A gateway's 502 or 504 does not: the
  server behind it may be at work. Once in a call, a pooled connection may turn out to have been
  closed by the server before a byte came back.
"""

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import TypeVar

import openai

from stream_deadline._budget import Budget
from stream_deadline._connection import ConnectionTracker
from stream_deadline._pauses import SHORTEST_SHARE, longest_pause, retry_after

T = TypeVar("T")

LONGEST_RETRY_AFTER = 120.0
# httpx's names for what goes wrong before a request has left.
NOT_SENT = {
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "ProxyError",
    "WriteError",
    "WriteTimeout",
}
# And for a connection that ended, in order or by a reset, as opposed to one that is silent.
CLOSED, RESET = {"RemoteProtocolError"}, {"ReadError", "WriteError", "CloseError"}


class Retrier:
    """Makes the attempts of one call."""

    def __init__(self, max_retries: int, budget: Budget, tracker: ConnectionTracker) -> None:
        """Prepare a call.

        Args:
            max_retries: how many attempts may follow the first.
            budget: of the call; a pause that would outlast it is not made.
            tracker: knows what has happened to the connection.
        """
        self._left = max_retries
        self._made = 0
        self._has_met_stale = False
        self._budget = budget
        self._tracker = tracker

    async def stream(self, start: Callable[[], AsyncIterable[T]]) -> AsyncIterator[T]:
        """Yield the items of the first attempt that gets an answer.

        Args:
            start: makes one attempt.
        """
        while True:
            try:
                async for item in start():
                    yield item
                return
            except openai.APIError as error:
                wait = self._wait_before_another(error)
                if wait is None:
                    raise
            finally:
                await self._tracker.close_rest()
            await asyncio.sleep(wait)

    def stream_sync(self, start: Callable[[], Iterable[T]]) -> Iterator[T]:
        """Do the same as `stream` in the calling thread."""
        while True:
            try:
                yield from start()
                return
            except openai.APIError as error:
                wait = self._wait_before_another(error)
                if wait is None:
                    raise
            self._tracker.pause(wait)

    def _wait_before_another(self, error: openai.APIError) -> float | None:
        """Return the seconds to wait before another attempt; None: there is to be none."""
        if self._left <= 0 or self._tracker.answered or not self._may_pass(error):
            return None
        retry_after = _retry_after(error)
        is_connection_error = isinstance(error, openai.APIConnectionError)
        if self._has_met_stale and is_connection_error and self._tracker.was_stale():
            wait = 0.0  # the next attempt opens a new connection
        elif retry_after is None:
            wait = longest_pause(self._made) * random.uniform(SHORTEST_SHARE, 1)
        else:
            wait = retry_after
        if wait >= self._budget.due - self._budget.clock():
            return None
        self._left -= 1
        self._made += 1
        return wait

    def _may_pass(self, error: openai.APIError) -> bool:
        """Return whether the error may pass by itself and cost the server no generation."""
        if isinstance(error, openai.APIStatusError):
            if (_retry_after(error) or 0) > LONGEST_RETRY_AFTER:
                return False
            headers = error.response.headers
            should_retry = headers.get("x-should-retry")
            if should_retry in ("true", "false"):
                return bool(should_retry == "true")
            says_when = any(name in headers for name in ("retry-after", "retry-after-ms"))
            return error.status_code == 429 or (error.status_code == 503 and says_when)
        if not isinstance(error, openai.APIConnectionError):
            return False
        causes = {type(cause).__name__ for cause in _causes(error)}
        if causes & NOT_SENT and not self._tracker.was_stale():
            return True
        stale = self._tracker.was_stale(reset=bool(causes & RESET))
        if stale and bool(causes & (CLOSED | RESET)) and not self._has_met_stale:
            self._has_met_stale = True
            return True
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def _retry_after(error: openai.APIError) -> float | None:
    return retry_after(error.response.headers) if isinstance(error, openai.APIStatusError) else None
