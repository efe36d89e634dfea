"""What a process holds, counted while other threads are at work."""

import sys
import threading
import time

import pytest

from stream_lab.soak.household import _alone, surplus
from stream_lab.soak.stage import TURN
from stream_lab.soak.turns import turns_of


def test_no_other_thread_runs_while_all_objects_are_counted() -> None:
    """One of them may be making a tuple, which must not be referred to meanwhile."""
    over, turns = threading.Event(), [0]

    def count() -> None:
        while not over.is_set():
            turns[0] += 1

    threads = [threading.Thread(target=count) for _ in range(2)]
    with turns_of(TURN):
        for thread in threads:
            thread.start()
        seen = []
        for _ in range(5):
            with _alone():
                first, until = turns[0], time.monotonic() + 0.02
                while time.monotonic() < until:
                    pass
                seen.append(turns[0] - first)
        over.set()
        for thread in threads:
            thread.join()
        assert sys.getswitchinterval() == pytest.approx(TURN, rel=0.02)  # Python rounds it down
    assert seen == [0] * 5


def test_a_surplus_is_what_there_is_more_of_than_before() -> None:
    assert surplus({"a": 2, "b": 1, "c": 1}, {"a": 1, "b": 1, "d": 1}) == {"a": 1, "c": 1}
