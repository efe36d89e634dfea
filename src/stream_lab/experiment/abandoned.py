"""A request whose client disconnects, with the metrics of the server that works on it."""

import time
from collections.abc import Callable
from dataclasses import replace

import httpx2

from stream_lab.experiment import verdict
from stream_lab.experiment.call import AFTERWARDS, Call
from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.release import FREES_WITHIN, Gauges, wait_while
from stream_lab.experiment.trace import Ending, Recording
from stream_lab.experiment.witness import Witness


def watch_request(ask: Callable[[], object], *, server: Endpoint, afterwards: float = 1.5) -> Call:
    """Watch a server while a client sends a request and gives up on it.

    Args:
        ask: Sends the request, and blocks until the client has its answer or disconnects. A
            time-out of httpx that it raises means that the client gave up.
        server: The server to watch: the last one of the chain.
        afterwards: Seconds for which the server is watched after the client has disconnected.

    Returns:
        The call. Its deadline is the moment at which the client disconnected.
    """
    if not server.shows_metrics:
        recording = _ask(ask)
        return Call(recording, round(recording.ended, 2))
    with Witness(server.root) as witness:
        recording = _ask(ask)
        if recording.ending is Ending.CUT:
            baseline = witness.samples[0].running if witness.samples else 0
            free = wait_while(lambda: not witness.is_idle(baseline), patience=afterwards)
            if free is not None:
                time.sleep(AFTERWARDS)
    samples = [replace(sample, at=sample.at - recording.started) for sample in witness.samples]
    return Call(recording, round(recording.ended, 2), samples)


def state_now(server: Endpoint, *, after: Call) -> str:
    """Return whether a server stops generating within 1.5 s from now, in words.

    Args:
        server: The server.
        after: The request that it worked on. What its metrics could not show is unknown now, too.
    """
    if isinstance(after.server, Unknown):
        return after.server
    busy = wait_while(Gauges(server.root), patience=FREES_WITHIN) is None
    return verdict.Server.RAN_ON if busy else verdict.Server.STOPPED


def _ask(ask: Callable[[], object]) -> Recording:
    recording = Recording()
    try:
        ask()
    except httpx2.TimeoutException as error:
        recording.ending = Ending.CUT
        recording.error = type(error).__name__
    recording.ended = recording.now()
    return recording
