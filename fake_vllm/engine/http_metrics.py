"""Counters of HTTP requests, which vLLM has from prometheus-fastapi-instrumentator."""

from collections import defaultdict
from time import monotonic

from fake_vllm.engine.histogram import Histogram

NOT_COUNTED = ("/metrics", "/health", "/load", "/ping", "/version", "/server_info")
"""Parts of paths whose requests are not counted."""

# prometheus_fastapi_instrumentator/metrics.py, in seconds.
MANY = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5),
    *(5.0, 7.5, 10.0, 30.0, 60.0),
)
FEW = (0.1, 0.5, 1.0)


class Sizes:
    """How many bodies there were, and how long they were together, in bytes."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = self.bytes = 0

    def add(self, length: int) -> None:
        self.count += 1
        self.bytes += length


class HttpMetrics:
    """The requests by handler, which is the path of a route, or "none".

    Attributes:
        requests: how many there were by handler, method and class of status, such as "2xx".
        received: the bodies of the requests by handler; the header Content-Length counts.
        sent: those of the answers; a stream counts as 0 bytes.
        seconds: the times to the ends of the answers.
        seconds_by_handler: the same by handler and method.
    """

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self.received: defaultdict[str, Sizes] = defaultdict(Sizes)
        self.sent: defaultdict[str, Sizes] = defaultdict(Sizes)
        self.seconds = Histogram(MANY)
        self.seconds_by_handler: defaultdict[tuple[str, str], Histogram] = defaultdict(
            lambda: Histogram(FEW)
        )

    @staticmethod
    def counts(path: str, handler: str) -> bool:
        """Tell whether a request is counted."""
        named = path if handler == "none" else handler
        return not any(part in named for part in NOT_COUNTED)

    def over(
        self, handler: str, method: str, status: int, began: float, received: int, sent: int
    ) -> None:
        """Count a request whose answer has ended.

        Args:
            handler: the path of its route.
            method: its method.
            status: the status of the answer.
            began: when it began, in seconds of `time.monotonic()`.
            received: its header Content-Length, in bytes. 0: it has none.
            sent: that of the answer.
        """
        seconds = monotonic() - began
        self.requests[handler, method, f"{status // 100}xx"] += 1
        self.received[handler].add(received)
        self.sent[handler].add(sent)
        self.seconds.observe(seconds)
        self.seconds_by_handler[handler, method].observe(seconds)
