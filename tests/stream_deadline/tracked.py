"""Calls under way, as their tracker sees them."""

from stream_deadline._budget import Bounds, Budget
from stream_deadline._connection import ConnectionTracker
from tests.stream_deadline.still_clock import Clock


class TrackedCall:
    """A call under way, and what its streams report to its tracker."""

    def __init__(self, *, raw: bool = False) -> None:
        self.heard: list[str] = []
        self.tracker = ConnectionTracker(Budget(Bounds(60.0), Clock()), blocking=True, raw=raw)
        self.tracker.on_progress = lambda: self.heard.append("progress")
        self.tracker.on_finish = lambda: self.heard.append("finish")
