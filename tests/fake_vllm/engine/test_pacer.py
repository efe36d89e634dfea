"""The one clock of all streams."""

import asyncio
import math

import pytest

from fake_vllm.engine.pacer import Alarm, Pacer


@pytest.mark.parametrize("due", [math.inf, 1e306, 1e300])
async def test_a_turn_that_is_due_in_ages_does_not_stop_the_others(due: float) -> None:
    pacer, ends, turns = Pacer(), asyncio.Event(), []

    def often(now: float) -> float:
        turns.append(now)
        if len(turns) == 3:
            ends.set()
        return now if len(turns) < 3 else math.inf

    pacer.wake(Alarm(often))
    pacer.wake(Alarm(lambda now: due))
    await asyncio.wait_for(ends.wait(), 5)
    assert len(turns) == 3
