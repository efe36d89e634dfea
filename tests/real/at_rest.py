"""The witness against a real vLLM: its gauges, read at the machine's pace.

A busy machine is late for vLLM as it is for the test, and a plain sleep beside the test does not show
that. So vLLM has its time in its own answers, besides the seconds, and when those are late the machine
stood still.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from stream_lab import Endpoint
from stream_lab.experiment.witness import Sample, Witness
from tests import stood_still

FREES_WITHIN = 2.0  # seconds; a median of 11 ms
ANSWERS = 25
"""Answers of /metrics in those seconds without other work: one in 50 ms, and vLLM takes 20 to 50."""
LONGEST = 120.0  # seconds for that many answers
AT_REST = 6  # answers in a row that show nothing running, and the same tokens
LATE_ANSWER = 0.25  # seconds that an answer is late, from which on the machine stood still for vLLM
SELDOM = 0.25  # seconds between two looks that leave a notebook's measurements as they are


@contextmanager
def watched(server: Endpoint, every: float = SELDOM) -> Iterator[Witness]:
    """Sample vLLM's metrics in the block; if they were late, the machine stood still."""
    witness = Witness(server.root, every=every)
    with witness:
        try:
            yield witness
        finally:
            late = longest_pause(witness.samples, time.monotonic()) - every
            if late > LATE_ANSWER:
                stood_still.also_late(late)


@contextmanager
def at_rest_afterwards(server: Endpoint, generations: int) -> Iterator[None]:
    """Check that vLLM ran at most N answers, and runs none after the block.

    Args:
        server: vLLM, which no other client uses.
        generations: how many answers may run at a time.
    """
    with watched(server, every=0.05) as witness:
        before = at_rest(witness, time.monotonic(), 1)
        assert is_rest(before), "another client is using this server"
        yield
        ended = time.monotonic()
        rest = at_rest(witness, ended, AT_REST)
    assert is_rest(rest), f"vLLM works on: {rest}"
    seen = [sample for sample in witness.samples if sample.at < ended]
    assert max(sample.running for sample in seen) <= generations, (
        "more was generated than asked for"
    )
    # A short call may fit between two samples; its tokens are counted all the same.
    assert rest[-1].tokens > before[-1].tokens, "vLLM was never seen at work"


def at_rest(witness: Witness, since: float, count: int) -> list[Sample]:
    """Return the newest samples once they show rest, or vLLM has had its time.

    Args:
        witness: samples vLLM's metrics.
        since: a moment of `time.monotonic()`; older samples prove nothing.
        count: how many samples show it.

    Raises:
        AssertionError: vLLM does not answer.
    """
    while True:
        passed = time.monotonic() - since
        found = [sample for sample in witness.samples if sample.at > since]
        newest = found[-count:]
        if len(newest) == count and is_rest(newest):
            return newest
        if passed > LONGEST or (passed > FREES_WITHIN and len(found) > ANSWERS):
            assert newest, "vLLM does not answer"
            return newest
        time.sleep(0.02)


def is_rest(samples: list[Sample]) -> bool:
    """Tell whether nothing runs, and no token is written."""
    return not any(each.running for each in samples) and len({each.tokens for each in samples}) == 1


def longest_pause(samples: list[Sample], until: float) -> float:
    """Return the longest time between two samples, or since the last one, in seconds."""
    moments = [*(sample.at for sample in samples), until]
    return max((after - before for before, after in pairwise(moments)), default=0.0)
