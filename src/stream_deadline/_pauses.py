"""Tell how long the OpenAI SDK and similar ones pause before a retry.

Source: `_calculate_retry_timeout` in openai/_base_client.py, openai 3.52.
"""

import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz

_FIRST, _LONGEST = 0.5, 8.0
SHORTEST_SHARE = 0.75
"""The part of the longest pause that is always waited for; the rest is random."""


def longest_pause(made: int) -> float:
    """Return the seconds before the next attempt at most, if the server asks for none.

    Args:
        made: how many attempts have followed the first.
    """
    return min(_FIRST * 2.0**made, _LONGEST)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait; None: it does not ask.

    That is `Retry-After-Ms`, or `Retry-After` in seconds or as a date. What cannot be read, such as
    a date after the year 9999, asks for nothing.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return wait if wait > 0 else None
    try:
        date = parsedate_tz(headers.get("retry-after", ""))
        wait = 0.0 if date is None else mktime_tz(date) - time.time()
    except (ValueError, OverflowError):
        return None
    return wait if wait > 0 else None
