"""What the GPU does when the ERP server leaves in the middle, by the GPU server's own metrics."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.witness import Sample, Witness
from stream_lab.relay.process import Caller, Relay

STOPPED, GOES_ON = "stopped", "still generating"


@dataclass(frozen=True)
class Leaving:
    """One request whose caller left. Times in seconds since it was sent.

    `left`: when the caller did. `freed`: when the GPU server no longer ran it; None: not while it was watched, which ended at `watched`.
    `tokens`: what the GPU server made after the caller had left, for all its requests. `server`: what became of it, in words.
    """

    left: float
    freed: float | None
    watched: float
    tokens: int
    server: str


def leave(relay: Relay, gpu: Endpoint, path: str, *, after: float, watch: float) -> Leaving:
    """Ask, leave after so many seconds, and watch the GPU server for `watch` seconds more, or until it has stopped."""
    with ExitStack() as callers:
        return watched(gpu, lambda: callers.enter_context(Caller(relay, path)).leave, after=after, watch=watch)


def watched(gpu: Endpoint, ask: Callable[[], Callable[[], object]], *, after: float, watch: float) -> Leaving:
    """The same for any client. `ask`: sends the request, does not wait for the answer, and returns what makes the client leave."""
    with Witness(gpu.root, every=0.02) as witness:
        running = witness.samples[0].running if witness.samples else 0
        asked = time.monotonic()
        go = ask()
        time.sleep(after)
        left = time.monotonic()
        go()
        while time.monotonic() < left + watch:
            last = witness.samples[-1:]
            if last and last[0].at > left and last[0].running <= running:
                break
            time.sleep(0.01)
        ended = time.monotonic()
    return _judged(witness.samples, running, asked, left, ended)


def _judged(samples: list[Sample], running: int, asked: float, left: float, ended: float) -> Leaving:
    before = [sample for sample in samples if asked < sample.at <= left]
    later = [sample for sample in samples if sample.at > left]
    freed = next((sample.at - asked for sample in later if sample.running <= running), None)
    tokens = later[-1].tokens - before[-1].tokens if before and later else 0
    if not before or not later:
        server: str = Unknown("the server's metrics could not be read")
    elif before[-1].running <= running:
        server = Unknown("it was not running when the caller left")
    else:
        server = GOES_ON if freed is None else STOPPED
    return Leaving(left - asked, freed, ended - asked, tokens, server)
