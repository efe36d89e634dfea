"""The server's side of a call, sampled from its /metrics: requests running, tokens made."""

import math
import re
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx2

from stream_lab.background import Background
from stream_lab.http.client import direct_client
from stream_lab.http.small_page import SmallPages

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
TOKENS = "vllm:generation_tokens_total"
PAGE_WITHIN = 5.0  # seconds for one page of metrics


@dataclass(frozen=True)
class Sample:
    """The server's state at one moment.

    Attributes:
        at: the moment, on the clock of `time.monotonic()`.
        running: requests that run.
        waiting: requests that wait.
        tokens: tokens made since the server started.
    """

    at: float
    running: int
    waiting: int
    tokens: int


def read_metrics(page: str) -> dict[str, float]:
    """Return three metrics, each summed over its labels.

    One that is missing, or has a value that is no finite number, is left out.
    """
    values: dict[str, float] = {}
    for name, value in re.findall(
        rf"^({RUNNING}|{WAITING}|{TOKENS})(?:{{[^\n]*}})? (\S+)", page, re.MULTILINE
    ):
        try:
            values[name] = values.get(name, 0.0) + float(value)
        except ValueError:
            values[name] = math.nan
    return {name: value for name, value in values.items() if math.isfinite(value)}


class Witness(Background):
    """A sampler of /metrics in a thread, which a blocked event loop does not stop.

    Use it as a context manager around the call; `samples` is there afterwards. A failed poll is
    left out.
    """

    def __init__(self, root: str, *, every: float = 0.05) -> None:
        """Prepare to sample a server; entering the block starts it.

        Args:
            root: the server's address without /v1.
            every: seconds between two polls.
        """
        super().__init__("witness")
        self.samples: list[Sample] = []
        self._url = f"{root}/metrics"
        self._every = every
        self._client = direct_client(timeout=PAGE_WITHIN)
        self._pages = SmallPages(self._client, within=PAGE_WITHIN)

    def poll(self) -> Sample | None:
        """Sample once. None: the server does not answer, or shows no such metrics."""
        try:
            page = self._pages.get(self._url)
        except httpx2.HTTPError:
            return None
        values = read_metrics(page.text)
        if page.status != 200 or RUNNING not in values:
            return None
        return Sample(
            time.monotonic(),
            int(values[RUNNING]),
            int(values.get(WAITING, 0)),
            int(values.get(TOKENS, 0)),
        )

    def is_idle(self, baseline: int, *, since: float = 0.0) -> bool:
        """Tell whether the newest sample shows no more running requests than `baseline`.

        Args:
            baseline: how many requests of other clients run.
            since: a moment of `time.monotonic()`; an older sample proves nothing.
        """
        newest = self.samples[-1:]
        return bool(newest) and newest[0].at > since and newest[0].running <= baseline

    def __enter__(self) -> Self:
        if (first := self.poll()) is not None:
            self.samples.append(first)
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._client.close()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            if (sample := self.poll()) is not None:
                self.samples.append(sample)
