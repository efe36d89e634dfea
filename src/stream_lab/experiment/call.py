"""One observed call: the stream as its consumer saw it, and the server's metrics."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from stream_lab.experiment import goes_on, verdict
from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.release import wait_while
from stream_lab.experiment.trace import Ending, Recording, record
from stream_lab.experiment.witness import Sample, Witness

LOOKS_EVERY = 0.025  # seconds
AFTERWARDS = 0.3
"""Seconds for which the server is watched after that, to show that its state stays."""


@dataclass
class Call:
    """One call with a deadline, as it was observed.

    Attributes:
        recording: the stream as its consumer saw it.
        deadline: the deadline, in seconds since the call.
        samples: the server's metrics during the call, on a clock that starts with it. Empty: the
            server shows none.
        goes_on: whether the requests that ran when it began are those of clients that had left.
    """

    recording: Recording
    deadline: float
    samples: list[Sample] = field(default_factory=list)
    goes_on: bool = False

    @property
    def verdict(self) -> str:
        """Return what the stream did about its deadline, in words."""
        return verdict.of_stream(self.recording, self.deadline)

    @property
    def server(self) -> str:
        """Return what the server did about the deadline, in words."""
        if not self.samples:
            return verdict.NO_METRICS
        if self.recording.ending is Ending.FINISHED:
            return verdict.BY_ITSELF
        if self.samples[0].running:
            return verdict.GOES_ON if self.goes_on else verdict.SHARED
        ended = self.recording.ended
        if not any(sample.running for sample in self.samples if 0 < sample.at < ended):
            came_later = any(sample.running for sample in self.samples if sample.at >= ended)
            return verdict.TOO_LATE_TO_SEE if came_later else verdict.NOT_BUSY
        if self.recording.ending is Ending.GAVE_UP:
            # The server has the first half of the time since the deadline to release the request.
            since = (self.deadline + ended) / 2
            busy = any(sample.running for sample in self.samples if since < sample.at < ended)
        else:
            busy = self.samples[-1].running > 0
        return verdict.Server.RAN_ON if busy else verdict.Server.STOPPED

    @property
    def freed(self) -> float | None:
        """Return when the server stopped running the request.

        None: it ran on, or the answer had ended by itself.
        """
        if self.recording.ending is Ending.FINISHED:
            return None  # a last look at the metrics may come after the end
        after = [sample for sample in self.samples if sample.at >= self.deadline]
        free = [sample.at for sample in after if sample.running <= self.samples[0].running]
        return free[0] if free else None

    @property
    def tokens_after_deadline(self) -> int:
        """Return how many tokens the server made after the deadline; 0 without metrics."""
        after = [sample.tokens for sample in self.samples if sample.at >= self.deadline]
        return after[-1] - after[0] if after else 0


async def observe(
    stream: AsyncIterator[Any],
    *,
    deadline: float,
    server: Endpoint,
    give_up_after: float | None = None,
) -> Call:
    """Consume a stream while the server is watched.

    Args:
        stream: the stream to consume, for example `model.astream(…)`; it starts now.
        deadline: seconds after which it should have been stopped.
        server: the server that the stream comes from.
        give_up_after: seconds after which the consumer leaves if nothing has stopped the stream.
            None: half the deadline past it, and at least 1.5 s.
    """
    if give_up_after is None:
        give_up_after = deadline + max(deadline / 2, 1.5)
    if not server.shows_metrics:
        recording = await record(stream, give_up_after=give_up_after)
        recording.error = server.hide(recording.error)
        return Call(recording, deadline)
    witness = Witness(server.root)
    with witness:
        baseline = witness.samples[0].running if witness.samples else 0
        known = baseline > 0 and await asyncio.to_thread(goes_on.is_known, server)
        recording = await record(stream, give_up_after=give_up_after)
        recording.error = server.hide(recording.error)
        await asyncio.to_thread(
            wait_while, lambda: not witness.is_idle(baseline), every=LOOKS_EVERY
        )
        await asyncio.sleep(AFTERWARDS)
    goes_on.note(server, witness.samples, recording.started + recording.ended)
    return Call(
        recording,
        deadline,
        [replace(sample, at=sample.at - recording.started) for sample in witness.samples],
        known,
    )
