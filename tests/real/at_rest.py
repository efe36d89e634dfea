"""The witness against a real vLLM: its gauges, read at the machine's pace.

A busy machine is late for vLLM as it is for the test. So the witness waits for a number of vLLM's own
answers, besides the seconds, and a finding that a plain sleep contradicts is looked at once more.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from stream_lab import Endpoint
from stream_lab.experiment.witness import Sample, Witness
from tests.plain_sleep import STOOD_STILL, PlainSleep

FREES_WITHIN = 2.0  # seconds; a median of 11 ms
ANSWERS = 25
"""Answers of /metrics in those seconds on a machine without other work: one in 50 ms, and vLLM takes 20 to 50."""
LONGEST = 120.0  # seconds for that many answers
AT_REST = 6  # answers in a row that show nothing running, and the same tokens
LATE_ANSWER = 1.0  # seconds between two answers, from which on vLLM itself was late
SELDOM = 0.25  # seconds between two looks that leave a notebook's measurements as they are
TRIES = 3


@dataclass
class Machine:
    """How late the machine was during a trial.

    Attributes:
        sleep: seconds that a plain sleep was late, at most.
        answers: seconds between two answers of vLLM's metrics, at most.
    """

    sleep: float = 0.0
    answers: float = 0.0

    @property
    def stood_still(self) -> bool:
        return self.sleep > STOOD_STILL or self.answers > LATE_ANSWER

    def __str__(self) -> str:
        return (
            f"this machine stood still: a plain sleep was {self.sleep:.2f} s late, "
            f"and vLLM's metrics took {self.answers:.2f} s"
        )


def tried(trial: Callable[[Machine], None]) -> None:
    """Play a trial, and again if it fails while the machine stands still.

    If the machine stands still each time, the test is skipped, and says so.

    Args:
        trial: what to play; it writes into the machine how late it was.
    """
    for _ in range(TRIES):
        machine = Machine()
        try:
            with PlainSleep() as sleep:
                try:
                    trial(machine)
                finally:
                    machine.sleep = sleep.late
        except Exception as error:
            if not machine.stood_still:
                raise
            found = f"{machine}; meanwhile: {type(error).__name__}: {error}".splitlines()[0]
        else:
            return
    pytest.skip(found)


@contextmanager
def watched(server: Endpoint, machine: Machine) -> Iterator[None]:
    """Learn in the block how late vLLM's answers are."""
    witness = Witness(server.root, every=SELDOM)
    try:
        with witness:
            yield
    finally:
        machine.answers = longest_pause(witness.samples, time.monotonic()) - SELDOM


@contextmanager
def at_rest_afterwards(server: Endpoint, generations: int, machine: Machine) -> Iterator[None]:
    """Check that vLLM ran at most N answers, and runs none after the block.

    Args:
        server: vLLM, which no other client uses.
        generations: how many answers may run at a time.
        machine: learns how late vLLM's answers were.
    """
    witness = Witness(server.root)
    with witness:
        before = at_rest(witness, time.monotonic(), 1)
        assert is_rest(before), "another client is using this server"
        try:
            yield
            ended = time.monotonic()
            rest = at_rest(witness, ended, AT_REST)
        finally:
            machine.answers = longest_pause(witness.samples, time.monotonic())
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
