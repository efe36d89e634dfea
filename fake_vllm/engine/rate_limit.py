"""Token buckets, which gateways limit the rate of requests with."""

from collections.abc import Hashable
from dataclasses import dataclass

MOST_KEYS = 10_000
"""Buckets that are kept; the one used longest ago is forgotten first, and is full again."""


@dataclass
class Bucket:
    """A bucket that fills evenly, up to its size.

    Attributes:
        size: the most that it holds.
        rate: the units per second that it gains.
        left: the units in it.
        at: when `left` was counted (loop time in seconds).
    """

    size: float
    rate: float
    left: float
    at: float

    def fill(self, now: float) -> None:
        """Add what it has gained since it was last looked at."""
        self.left = min(self.size, self.left + (now - self.at) * self.rate)
        self.at = now

    def wait(self, units: float) -> float:
        """Return the seconds until it holds these units, or is full; 0: it does."""
        return max(0.0, (min(units, self.size) - self.left) / self.rate)


class Buckets:
    """The buckets of a server, by limit and client."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, Bucket] = {}

    def get(self, key: Hashable, size: float, rate: float, now: float) -> Bucket:
        """Return a bucket as it is now; a new one is full."""
        bucket = self._buckets.pop(key, None) or Bucket(size, rate, size, now)
        self._buckets[key] = bucket
        if len(self._buckets) > MOST_KEYS:
            del self._buckets[next(iter(self._buckets))]
        bucket.fill(now)
        return bucket

    def clear(self) -> None:
        """Fill all buckets."""
        self._buckets.clear()
