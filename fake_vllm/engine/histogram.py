"""A histogram for `/metrics`."""

from bisect import bisect_left


class Histogram:
    """Counts per bucket, with upper `bounds`; one more bucket takes the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return each upper bound as text, and how many values are not above it."""
        below, buckets = 0, []
        for bound, count in zip([*map(float, self.bounds), float("inf")], self.counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(below)))
        return buckets
