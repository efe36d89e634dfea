"""What Python's objects take, counted by `tracemalloc`, and at which lines that grows."""

import gc
import tracemalloc

COMPARED_FROM = 4
"""The round after which the lines are noted; caches are full by then."""
LINES = 3
"""How many lines are named."""


class Traced:
    """Counts from now on; see https://docs.python.org/3/library/tracemalloc.html."""

    def __init__(self) -> None:
        self._rounds = 0
        self._early: tracemalloc.Snapshot | None = None
        tracemalloc.start()

    def look(self) -> int:
        """Return what the objects take after a round, in bytes."""
        gc.collect()
        self._rounds += 1
        if self._rounds == COMPARED_FROM:
            self._early = _snapshot()
        return tracemalloc.get_traced_memory()[0]

    def grown_at(self) -> str:
        """Return the lines whose objects grew most since the fourth round, in words."""
        if self._early is None:
            return "unknown lines"
        changed = _snapshot().compare_to(self._early, "lineno")
        grown = [each for each in changed if each.size_diff > 0][:LINES]
        lines = ((each.traceback[0], each.size_diff // 1024) for each in grown)
        return "; ".join(f"{line.filename}:{line.lineno} ({more} KiB)" for line, more in lines)

    def stop(self) -> None:
        """Count no more."""
        tracemalloc.stop()


def _snapshot() -> tracemalloc.Snapshot:
    own = tracemalloc.Filter(False, tracemalloc.__file__)
    return tracemalloc.take_snapshot().filter_traces([own])
