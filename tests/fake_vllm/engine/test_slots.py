"""The engine's slots and counts, step by step and without a server."""

from contextlib import AbstractContextManager
from itertools import count

import pytest

from fake_vllm.engine import slots
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.engine.slots import Engine, EngineDead, Overloaded, Slot

NUMBERS = count(1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(slots, "monotonic", lambda: now[0])
    return now


def entry(*, prompt_tokens: int = 1, arrived: float = 0.0) -> Entry:
    return Entry("", "/", "", True, next(NUMBERS), 1, prompt_tokens, arrived)


class Room:
    """An engine with requests `a`, `b` and so on, which come and go.

    Attributes:
        metrics: its counters.
        entries: the requests by name.
        woken: the names, in the order in which they got their slots.
    """

    def __init__(self, free: int) -> None:
        self.metrics, self.ledger = Metrics(1000), Ledger()
        self.engine = Engine(self.ledger, self.metrics, slots=free)
        self.entries: dict[str, Entry] = {}
        self.woken: list[str] = []
        self.told: list[Entry] = []
        self.ledger.watchers.add(self.told.append)
        self._slots: dict[str, Slot] = {}
        self._blocks: dict[str, AbstractContextManager[Slot]] = {}

    def step(self, what: str) -> str:
        """Let a request come, `+a2`, or go, `-a`; return the running and the waiting ones."""
        name = what[1]
        if what[0] == "+":
            self.entries[name] = entry(prompt_tokens=ord(name))
            block = self.engine.slot(
                self.entries[name], int(what[2:]), lambda: self.woken.append(name)
            )
            self._blocks[name], self._slots[name] = block, block.__enter__()
        else:
            self._blocks.pop(name).__exit__(None, None, None)
            del self._slots[name]
        running = [name for name, slot in self._slots.items() if slot.granted]
        self._check(running)
        return f"{''.join(running)}|{''.join(name for name in self._slots if name not in running)}"

    def _check(self, running: list[str]) -> None:
        there = self._slots.items()
        assert self.metrics.running == sum(slot.size for name, slot in there if name in running)
        assert self.metrics.waiting == sum(slot.size for name, slot in there if name not in running)
        assert self.metrics.prefilling == sum(ord(name) for name in self._slots)
        assert self.metrics.prompt_tokens == sum(map(ord, self.woken))
        assert self.told == [self.entries[name] for name in self.woken]
        for name, each in self.entries.items():
            assert each.queued == 100.0
            assert (each.started == 100.0) == (name in self.woken) == (each.started is not None)
            had_one = name in self.woken and name not in self._slots
            assert (each.slot_freed == 100.0) == had_one == (each.slot_freed is not None)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("steps", "states"),
    [
        ("+a1 +b1 +c1 -a -c -b", "a| ab| ab|c bc| b| |"),
        ("+a1 +b2 +c1 -a -b -c", "a| a|b a|bc b|c c| |"),  # c does not overtake b
        ("+a5 +b1 -a -b", "a| a|b b| |"),  # more sequences than there are slots
        ("+a2 +b1 +c1 -b -a -c", "a| a|b a|bc a|c c| |"),  # b leaves the queue
        ("+a2 +b1 +c1 -a -b -c", "a| a|b a|bc bc| c| |"),  # two begin at once
    ],
)
def test_slots_are_granted_in_the_order_of_arrival_and_free_when_their_requests_end(
    steps: str, states: str
) -> None:
    room = Room(2)
    assert [room.step(step) for step in steps.split()] == states.split()
    assert room.woken == sorted(room.woken)


def test_the_tokens_of_a_request_are_counted_with_their_times(clock: list[float]) -> None:
    metrics, ledger = Metrics(1000), Ledger()
    engine, told = Engine(ledger, metrics, slots=1), list[Entry]()
    ledger.watchers.add(told.append)
    made = entry(prompt_tokens=7, arrived=98.5)
    with engine.slot(made, 1, lambda: None):
        told.clear()
        engine.made(made, 2)
        assert (made.first_token, made.last_token, made.tokens) == (100.0, 100.0, 2)
        assert (told, metrics.prefilling) == ([made], 0)
        assert metrics.time_to_first_token.total == 1.5
        clock[0] = 100.3
        engine.made(made, 3)
        assert (made.first_token, made.last_token, made.tokens) == (100.0, 100.3, 5)
        assert (told, metrics.prefilling, metrics.generation_tokens) == ([made], 0, 5)
        between = metrics.inter_token_latency
        assert between.total == pytest.approx(0.3)
        bucket = between.bounds.index(0.3)
        found = {place: each for place, each in enumerate(between.counts) if each}
        assert found in ({0: 2, bucket: 1}, {0: 2, bucket + 1: 1})  # 0.3 is no float
        assert made.tokens_after_left == 0
        made.client_left = 100.3
        engine.made(made, 4)
        assert (made.tokens, made.tokens_after_left) == (9, 4)
        engine.made(made, 1)
        assert made.tokens_after_left == 5
    assert (metrics.prefilling, metrics.running, metrics.generation_tokens) == (0, 0, 10)


@pytest.mark.parametrize(
    ("limits", "running", "waiting", "prefilling", "sequences", "refused"),
    [
        ({}, 99, 99, 9999, 99, None),
        ({"max_requests": 5}, 1, 2, 0, 2, None),
        ({"max_requests": 5}, 1, 2, 0, 3, "max_num_queued_reqs"),
        ({"max_requests": 5}, 6, 0, 0, 1, "max_num_queued_reqs"),
        ({"max_requests": 5}, 0, 6, 0, 1, "max_num_queued_reqs"),
        ({"max_tokens": 9}, 0, 0, 8, 1, None),
        ({"max_tokens": 9}, 0, 0, 9, 1, "max_num_queued_tokens"),
        ({"max_requests": 1, "max_tokens": 1}, 1, 0, 1, 1, "max_num_queued_reqs"),
    ],
)
def test_a_request_is_refused_and_counted_when_the_queue_is_full(
    limits: dict[str, int],
    running: int,
    waiting: int,
    prefilling: int,
    sequences: int,
    refused: str | None,
) -> None:
    metrics = Metrics(1000)
    engine = Engine(Ledger(), metrics, slots=1, **limits)
    metrics.running, metrics.waiting, metrics.prefilling = running, waiting, prefilling
    before = dict(metrics.rejected)
    if refused is None:
        engine.admit(sequences)
        assert metrics.rejected == before
    else:
        with pytest.raises(Overloaded, match="try again later"):
            engine.admit(sequences)
        assert metrics.rejected == {**before, refused: 1}


def test_a_dead_engine_admits_nothing() -> None:
    engine = Engine(Ledger(), Metrics(1000), slots=1)
    assert (engine.dead, engine.dying) == (False, False)
    engine.admit(1)
    engine.dead = True
    with pytest.raises(EngineDead):
        engine.admit(1)
