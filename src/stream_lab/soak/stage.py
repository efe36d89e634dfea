"""The servers, sleepers and hooks of a soak, and a round on them, judged."""

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import httpx2
import psutil

from fake_vllm.testing import Request
from stream_deadline import Expiry, on_expired, remove_hook
from stream_lab.experiment.fake import Fake
from stream_lab.extras import require
from stream_lab.http.certificates import one_certificate
from stream_lab.http.client import direct_async_client, reach_this_machine_directly
from stream_lab.processes.process import Process
from stream_lab.soak.clients import Clients
from stream_lab.soak.complaints import Complaints
from stream_lab.soak.faults import GAP
from stream_lab.soak.household import Household, surplus
from stream_lab.soak.judge import Lateness, faults, lateness, settle
from stream_lab.soak.outcome import Outcome
from stream_lab.soak.plan import Plan, draw
from stream_lab.soak.rounds import Round
from stream_lab.soak.served import READY
from stream_lab.soak.standstill import CpuWait, Lag, Probe, ThreadSleeper, sleep_in_loop
from stream_lab.soak.turns import turns_of

WARM_UP = 96
"""Calls before the first that counts; they import, compile and fill caches."""
SLOTS = 8  # of the crowded server
SETTLES = 4.0
"""Seconds after a round in which everything that belongs to its calls must be gone."""
SERVED = "stream_lab.soak.served"
TURN = 0.0002
"""Seconds after which a thread gives the interpreter up if another one wants it.

With Python's own 5 ms, forty callers could keep one of them waiting for 0.2 s.
"""
AS_LATE = {"loop": 1, "thread": 2, "own loop": 3}
"""How many times as late as its sleepers a call may be.

In a thread, the watchdog's thread has to wake and then the caller's; an event loop of a call's own
is closed, too.
"""


@dataclass(frozen=True)
class Violation:
    """Something that must not happen.

    Attributes:
        what: in words.
        plan: the call. None: it concerns a whole round.
        outcome: what the caller saw. None: as for `plan`.
        round: the numbers of the calls that were played together.
    """

    what: str
    plan: Plan | None
    outcome: Outcome | None
    round: tuple[int, ...]


@dataclass
class Played:
    """A round that was played and judged.

    Attributes:
        violations: what must not happen and did.
        lateness: how late each call was, with its number.
        ends: how many calls ended in which way.
        loop_stood_still: the longest standstill of the event loop, in seconds.
        process_stood_still: the same of the process.
        memory: the resident memory after the round in bytes, of this process.
        served_memory: the same of the served application.
    """

    violations: list[Violation] = field(default_factory=list)
    lateness: list[tuple[Plan, Outcome, Lateness]] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    loop_stood_still: float = 0.0
    process_stood_still: float = 0.0
    memory: int = 0
    served_memory: int = 0


class Stage:
    """What all rounds share; see `stage`."""

    def __init__(
        self,
        fakes: Sequence[Fake],
        probes: Sequence[Probe],
        served: Process,
        complaints: Complaints,
        sleeper: ThreadSleeper,
        cpu: CpuWait,
    ) -> None:
        self._roomy, self._crowded = fakes
        self._probes = probes
        self._complaints, self._sleeper, self._cpu = complaints, sleeper, cpu
        self._url = _address(served)
        self._served_process = psutil.Process(served.pid)
        self._loop_lag, self._served_lag = Lag(), Lag()
        self._household = Household()
        self._reports: list[Expiry] = []
        self._served_reports: Counter[float] = Counter()
        self._before: dict[str, int] = {}
        self._before_served: dict[str, int] = {}

    async def warm_up(self) -> None:
        """Play calls that do not count, and note what the process holds from then on."""
        plans = [draw("warm-up", number) for number in range(1, WARM_UP + 1)]
        await self.play(plans, tasks=8, threads=8, judged=False)
        gc.collect()
        gc.freeze()  # a collection of all that was imported would make calls late
        await self.rebase()

    async def rebase(self) -> None:
        """Take what is held now for given, so that later rounds are judged without it."""
        self._before = await self._holds({})
        self._before_served = (await self._served_state())["left"]
        self._complaints.take()

    async def play(
        self,
        plans: Sequence[Plan],
        *,
        tasks: int,
        threads: int,
        ended: Callable[[], None] = lambda: None,
        judged: bool = True,
    ) -> Played:
        """Play a round, and judge it; see `Round`."""
        clients = Clients(
            self._roomy.base_url, self._crowded.base_url, self._url, self._roomy.model
        )
        one = Round(clients, self._complaints, tasks=tasks, threads=threads, ended=ended)
        played = Played()
        with self._complaints.listening(asyncio.get_running_loop()):
            entries, state = await self._play(one, plans, clients)
            if judged:
                numbers = tuple(plan.number for plan in plans)
                self._adjust(one.outcomes, state["began"])
                self._served_lag = Lag.of(state["lags"])
                self._served_reports = Counter(state["reports"])
                self._judge(plans, one.outcomes, entries, played, numbers)
                one.outcomes.clear()
                for what in await self._left_behind(state["complaints"]):
                    played.violations.append(Violation(what, None, None, numbers))
        played.memory = self._household.memory
        played.served_memory = int(self._served_process.memory_info().rss)
        played.loop_stood_still = self._loop_lag.longest()
        played.process_stood_still = self._sleeper.lag.longest()
        await self._forget()
        return played

    async def _play(
        self, one: Round, plans: Sequence[Plan], clients: Clients
    ) -> tuple[dict[int, list[Request]], dict[str, Any]]:
        """Play a round; return the ledger by call, and the application's state."""
        sleeping = asyncio.create_task(sleep_in_loop(self._loop_lag), name="soak's sleeper")
        on_expired(self._reports.append)
        try:
            await one.play(plans)
            entries = await self._ledger()
            state = await self._served_state()
            await clients.aclose()
            return entries, state
        finally:
            remove_hook(self._reports.append)
            sleeping.cancel()

    def _adjust(self, outcomes: dict[int, Outcome], began: dict[str, float]) -> None:
        """Let the deadline of a served call begin where its header was read."""
        for number, at in began.items():
            if (outcome := outcomes.get(int(number))) is not None:
                outcome.latest += max(0.0, at - outcome.began)

    def _judge(
        self,
        plans: Sequence[Plan],
        outcomes: dict[int, Outcome],
        entries: dict[int, list[Request]],
        played: Played,
        numbers: tuple[int, ...],
    ) -> None:
        reports = Counter(report.limit for report in self._reports)
        for plan in plans:
            outcome, asked = outcomes[plan.number], entries.get(plan.number, [])
            stood = self._stood_still(plan)
            settle(plan, outcome, asked, stood)
            server_lag = self._probes[plan.crowded].lag
            told = (self._served_reports if plan.style.served else reports)[plan.limit]
            found = faults(plan, outcome, asked, told, stood, server_lag.explains)
            played.violations += [Violation(what, plan, outcome, numbers) for what in found]
            played.ends[outcome.end] += 1
            how = lateness(plan, outcome, asked, stood, self._at_that_time(plan))
            played.lateness.append((plan, outcome, how))

    def _lags(self, plan: Plan) -> list[Lag]:
        """Return the witnesses of what was late here beside a call."""
        lags = [self._sleeper.lag, self._cpu.lag]
        return [*lags, self._loop_lag] if plan.style.where == "loop" else lags

    def _at_that_time(self, plan: Plan) -> Callable[[float, float], float]:
        lags = self._lags(plan)
        served = self._served_lag if plan.style.served else Lag()
        return lambda start, end: (
            max(lag.between(start, end) for lag in lags) + served.between(start, end)
        )

    def _stood_still(self, plan: Plan) -> Callable[[float, float], float]:
        lags = self._lags(plan)
        if not plan.style.served:
            times = AS_LATE[plan.style.where]
            return lambda start, end: max(lag.explains(start, end, times) for lag in lags)
        served = self._served_lag  # one after the other: what one is late, the other waits for
        return lambda start, end: (
            max(lag.explains(start, end) for lag in lags) + served.explains(start, end)
        )

    async def _ledger(self) -> dict[int, list[Request]]:
        """Return the requests by the number of their call, once the servers are at rest."""
        until = time.monotonic() + SETTLES
        while True:
            requests = list(
                chain(await self._roomy.aio.requests(), await self._crowded.aio.requests())
            )
            if all(each.over is not None for each in requests) or time.monotonic() > until:
                break
            await asyncio.sleep(0.05)
        found: dict[int, list[Request]] = {}
        for request in requests:
            number = request.id.rpartition("soak-")[2]
            found.setdefault(int(number) if number.isdigit() else 0, []).append(request)
        return found

    async def _left_behind(self, complaints: list[str]) -> list[str]:
        """Return what the round has left here and in the application, in words.

        Args:
            complaints: what the served application has reported already.
        """
        found = []
        now = await self._holds(self._before)
        more = surplus(now, self._before)
        self._before |= {name: now[name] for name in more}  # reported once
        found += [f"left behind: {name} ({count})" for name, count in more.items()]
        found += [f"reported: {text}" for text in self._complaints.take()]
        until = time.monotonic() + SETTLES
        while True:
            state = await self._served_state()
            complaints += state["complaints"]
            more = surplus(state["left"], self._before_served)
            if not more or time.monotonic() > until:
                break
            await asyncio.sleep(0.1)
        self._before_served |= {name: state["left"][name] for name in more}
        found += [f"left behind by the application: {name} ({n})" for name, n in more.items()]
        return found + [f"reported in the application: {text}" for text in complaints]

    async def _holds(self, before: dict[str, int]) -> dict[str, int]:
        """Return what this process holds, once that is no more than before."""
        until = time.monotonic() + SETTLES
        while True:
            await asyncio.sleep(0.1)
            now = self._household.look()
            if time.monotonic() > until or (before and not surplus(now, before)):
                return now
            if not before and time.monotonic() > until - SETTLES / 2:
                return now

    async def _served_state(self) -> dict[str, Any]:
        # A new connection each time, which ends with the answer: a kept one would be counted.
        async with direct_async_client(timeout=httpx2.Timeout(30), verify=False) as client:
            answer = await client.get(f"{self._url}/state", headers={"connection": "close"})
        state: dict[str, Any] = answer.json()
        return state

    async def _forget(self) -> None:
        """Forget what belongs to the round, so that a long soak needs no more memory."""
        self._reports.clear()
        for each in (self._sleeper, self._cpu, *self._probes):
            each.lag.take()
        self._loop_lag.take()
        await self._roomy.aio.clear()
        await self._crowded.aio.clear()


@asynccontextmanager
async def stage(served: str = SERVED) -> AsyncIterator[Stage]:
    """Start the servers, warm up, and stop them at the end.

    Args:
        served: the module that serves the application.

    Raises:
        MissingExtra: uvicorn is not installed.
        FakeError: the fake does not start.
        ProcessError: the application does not start.
    """
    require("uvicorn", extra="relay")
    reach_this_machine_directly()
    complaints = Complaints()
    flags: dict[str, Any] = {"lifetime": 24 * 3600.0, "first_token_ms": GAP * 1000}
    with (
        turns_of(TURN),
        one_certificate(),
        Fake("endless", gap=GAP, max_num_seqs=4096, **flags) as roomy,
        Fake("endless", gap=GAP, max_num_seqs=SLOTS, **flags) as crowded,
        _serving(served) as application,
        Probe(roomy.root) as probe,
        Probe(crowded.root) as other_probe,
        ThreadSleeper() as sleeper,
        CpuWait() as cpu,
    ):
        fakes, probes = [roomy, crowded], [probe, other_probe]
        made = Stage(fakes, probes, application, complaints, sleeper, cpu)
        try:
            await made.warm_up()
            yield made
        finally:
            gc.unfreeze()


@contextmanager
def _serving(module: str) -> Iterator[Process]:
    with tempfile.TemporaryDirectory(prefix="stream-lab-soak-") as folder:
        log = Path(folder) / "served.log"
        with Process(
            "the served application",
            [sys.executable, "-m", module],
            lambda: READY in log.read_text(encoding="utf-8"),
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            log=log,
        ) as process:
            yield process


def _address(served: Process) -> str:
    """Return the address that the application has printed."""
    return served.log.rpartition(READY)[2].split()[0]
