"""What a transport knows of the SDKs above it."""

import contextvars
import time
from typing import Any

import httpx2
import openai
import pytest

from stream_deadline._budget import Bounds, Budget
from stream_deadline._sdk import budget_of_first_attempt, final_error, note_first_attempt

URL = "http://server/v1/chat/completions"
AGENT = "AsyncOpenAI/Python 3.52.0"


def attempt(number: int | None, url: str = URL, method: str = "POST") -> Any:
    """The request of one attempt; None: of a client that does not count them."""
    headers = {"user-agent": AGENT}
    if number is not None:
        headers["x-stainless-retry-count"] = str(number)
    return httpx2.Request(method, url, headers=headers)


def budget(timeout: float = 45) -> Budget:
    return Budget(Bounds(timeout), time.monotonic)


@pytest.mark.parametrize(
    ("first", "second", "shares"),
    [
        (attempt(0), attempt(1), True),
        (attempt(0), attempt(0), False),
        (attempt(0), attempt(1, url="http://other/"), False),
        (attempt(0), attempt(1, method="GET"), False),
        (attempt(0), attempt(None), False),
        (attempt(None), attempt(1), False),
    ],
)
def test_a_retry_shares_the_budget_of_its_first_attempt(
    first: Any, second: Any, shares: bool
) -> None:
    own = budget()

    def found() -> Budget | None:
        note_first_attempt(first, own)
        return budget_of_first_attempt(second)

    assert contextvars.copy_context().run(found) is (own if shares else None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ConnectError("refused"), openai.APIConnectionError),
        (httpx2.ConnectTimeout("late"), openai.APITimeoutError),
        (httpx2.ReadTimeout("late"), openai.APITimeoutError),
    ],
)
def test_an_error_that_leaves_no_time_for_another_attempt_is_the_last(
    error: Exception, kind: type[Exception]
) -> None:
    assert type(final_error(attempt(0), error, budget(0.01))) is kind
    assert final_error(attempt(0), error, budget()) is error
    assert final_error(attempt(None), error, budget(0.01)) is error
