"""Play the calls of a round at once, in tasks and in threads."""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from stream_lab.soak import calls, sync_calls
from stream_lab.soak.clients import Clients
from stream_lab.soak.complaints import Complaints
from stream_lab.soak.outcome import LEFT, UNENDED, Outcome
from stream_lab.soak.plan import LONGEST, Plan

GIVE_UP = 30.0
"""Seconds after the deadline at which a call counts as endless; the server ends it before that."""
RAMP = 0.02  # seconds between the first calls of a round, so that they do not begin at once
LONG = 2.0  # seconds of a deadline; such calls begin in the first half of a round


class Round:
    """The calls that are played at once, and what became of them.

    Args:
        clients: makes the models and connections.
        complaints: notes what the event loops report.
        tasks: how many calls are under way in the event loop.
        threads: how many are under way in threads, with an event loop of their own or without.
        ended: called at the end of each call, in any thread.
    """

    def __init__(
        self,
        clients: Clients,
        complaints: Complaints,
        *,
        tasks: int,
        threads: int,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._clients, self._complaints, self._ended = clients, complaints, ended
        self._tasks, self._threads = tasks, threads
        self.outcomes: dict[int, Outcome] = {}

    async def play(self, plans: Sequence[Plan]) -> None:
        """Play calls, and return when all have ended or count as endless."""
        ordered = _ordered(plans)
        here = deque(plan for plan in ordered if plan.style.where == "loop")
        there = deque(plan for plan in ordered if plan.style.where != "loop")
        count = min(self._threads, len(there))
        callers = [
            threading.Thread(target=self._call, args=(there,), name="soak's caller", daemon=True)
            for _ in range(count)
        ]
        for thread in callers:
            thread.start()
        workers = range(min(self._tasks, len(here)))
        await asyncio.gather(*(self._work(here, RAMP * number) for number in workers))
        # A thread that is stuck would not set an event.
        while any(each.is_alive() for each in callers) and not self._is_stuck():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _is_stuck(self) -> bool:
        """Tell whether only endless calls are left in the threads, and note that of them."""
        now = time.monotonic()
        open_ones = [each for each in list(self.outcomes.values()) if not each.ended]
        if not open_ones or any(now < self._give_up_at(each) for each in open_ones):
            return False
        for each in open_ones:
            each.end = UNENDED
        return True

    def _give_up_at(self, outcome: Outcome) -> float:
        if not outcome.began:
            return outcome.made + 2 * LONGEST + GIVE_UP
        return outcome.began + 2 * min(outcome.due - outcome.began, LONGEST) + GIVE_UP

    async def _work(self, plans: "deque[Plan]", after: float) -> None:
        await asyncio.sleep(after)
        while plans:
            await self._one(plans.popleft())

    def _call(self, plans: "deque[Plan]") -> None:
        while plans:
            try:
                plan = plans.popleft()
            except IndexError:  # another thread took the last one
                return
            if plan.style.where == "thread":
                outcome = self._new(plan)
                try:
                    sync_calls.make(plan, self._clients, outcome)
                except BaseException as error:
                    outcome.note_end(error)
                else:
                    outcome.note_end(None)
                self._ended()
            else:
                self._call_in_own_loop(plan)

    def _call_in_own_loop(self, plan: Plan) -> None:
        with _collected_meanwhile(), asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(self._complaints.of_loop)
            outcome = runner.run(self._one(plan))
        if plan.ending == "loop ends" and outcome.end == LEFT:
            outcome.ended = time.monotonic()
        outcome.kept = None

    async def _one(self, plan: Plan) -> Outcome:
        """Make a call in a task of its own; cancel it if that is planned."""
        outcome = self._new(plan)
        task = asyncio.create_task(self._noted(plan, outcome))
        await asyncio.wait({task}, timeout=2 * min(plan.limit, LONGEST) + GIVE_UP)
        if not task.done():
            outcome.end = UNENDED
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
            outcome.ended = 0.0
        self._ended()
        return outcome

    async def _noted(self, plan: Plan, outcome: Outcome) -> None:
        # Set by the task itself: uvloop calls a timer that is due before a task's first step.
        timer = _cancelling(plan, outcome)
        try:
            await calls.make(plan, self._clients, outcome)
        except BaseException as error:
            if outcome.end != UNENDED:
                outcome.note_end(error)
        else:
            if outcome.end != UNENDED:
                outcome.note_end(None)
        finally:
            if timer is not None:
                timer.cancel()
            task = asyncio.current_task()
            is_ours = outcome.acted is not None or outcome.end == UNENDED
            if task is not None and not is_ours and task.cancelling():
                outcome.end = f"{task.cancelling()} cancellations are still pending"

    def _new(self, plan: Plan) -> Outcome:
        self.outcomes[plan.number] = outcome = Outcome(plan.number, made=time.monotonic())
        return outcome


def _cancelling(plan: Plan, outcome: Outcome) -> asyncio.TimerHandle | None:
    """Have this task cancelled if that is planned; return the timer."""
    if plan.ending not in ("cancel", "cancel at T"):
        return None
    task = asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        outcome.act()
        task.cancel()

    share = plan.moment if plan.ending == "cancel" else 1.0
    return asyncio.get_running_loop().call_later(share * plan.limit, cancel)


@contextmanager
def _collected_meanwhile() -> Iterator[None]:
    """Pass over Python's error if another thread collects a generator while its loop ends.

    The loop lists its generators then, and the collector takes one off the list.
    """
    try:
        yield
    except RuntimeError as error:
        if str(error) != "Set changed size during iteration":
            raise


def _ordered(plans: Sequence[Plan]) -> list[Plan]:
    """Return the calls in their order, without the long ones at the end."""
    dice = random.Random(plans[0].number if plans else 0)
    half = len(plans) / 2
    return sorted(
        plans,
        key=lambda plan: dice.uniform(0, half if min(plan.limit, LONGEST) > LONG else 2 * half),
    )
