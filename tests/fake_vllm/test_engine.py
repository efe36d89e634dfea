"""Slots, queue, pace, and how an answer ends."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from fake_vllm.engine import Engine, Plan, StopStrings
from fake_vllm.ledger import Entry, Ledger
from fake_vllm.metrics import Metrics
from fake_vllm.script import Script


def new_engine(*, slots: int = 1, gap: float = 0.0) -> tuple[Engine, Metrics, Callable[[], Entry]]:
    metrics, ledger = Metrics("m"), Ledger()
    return Engine(metrics, slots=slots, gap=gap, first_token=0), metrics, lambda: ledger.open("id", "/", "finite", True)


async def text_of(engine: Engine, plan: Plan, entry: Entry, stops: list[str] | None = None, seed: str = "s") -> tuple[str, Any]:
    pieces = [piece async for piece in engine.generate(plan, stops or [], Script(seed).tokens(plan), entry)]
    return "".join(piece.text for piece in pieces), pieces[-1]


def test_the_same_seed_gives_the_same_text_and_another_one_does_not() -> None:
    engine, _, entry = new_engine()
    plan = Plan(eos_after=None, max_tokens=50, context=None)
    first, again, other = (asyncio.run(text_of(engine, plan, entry(), seed=seed))[0] for seed in ("a", "a", "b"))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("plan", "tokens", "reason"),
    [
        (Plan(eos_after=None, max_tokens=7, context=None), 7, "length"),
        (Plan(eos_after=None, max_tokens=70, context=9), 9, "length"),
        (Plan(eos_after=3, max_tokens=70, context=90), 4, "stop"),  # the end token counts
    ],
)
def test_the_first_limit_reached_ends_the_answer(plan: Plan, tokens: int, reason: str) -> None:
    engine, _, new_entry = new_engine()
    entry = new_entry()
    _, last = asyncio.run(text_of(engine, plan, entry))
    assert (entry.tokens, last.finish) == (tokens, reason)


def test_a_slot_is_taken_by_one_request_at_a_time_and_the_rest_wait_in_order() -> None:
    async def play() -> tuple[list[str], int, int]:
        engine, metrics, entry = new_engine(slots=1)
        order: list[str] = []

        async def request(name: str) -> None:
            async with engine.slot(entry(), 1):
                order.append(name)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(request(name)) for name in "abc"]
        await asyncio.sleep(0.005)
        running, waiting = value(metrics, "num_requests_running"), value(metrics, "num_requests_waiting")
        await asyncio.gather(*tasks)
        return order, running, waiting

    assert asyncio.run(play()) == (["a", "b", "c"], 1, 2)


def test_a_request_cancelled_while_it_waits_leaves_the_queue() -> None:
    async def play() -> tuple[int, int]:
        engine, metrics, entry = new_engine(slots=1)
        async with engine.slot(entry(), 1):
            waiter = asyncio.create_task(hold(engine, entry()))
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            waiting = value(metrics, "num_requests_waiting")
        return waiting, value(metrics, "num_requests_running")

    async def hold(engine: Engine, entry: Entry) -> None:
        async with engine.slot(entry, 1):
            await asyncio.sleep(60)

    assert asyncio.run(play()) == (0, 0)


def test_an_unpaced_stream_lets_others_run() -> None:
    async def play() -> int:
        engine, _, entry = new_engine(gap=0)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        neighbour = asyncio.create_task(other())
        await text_of(engine, Plan(eos_after=None, max_tokens=400, context=None), entry())
        neighbour.cancel()
        return turns

    assert asyncio.run(play()) >= 400 // 8


class TestStopStrings:
    def test_text_that_could_begin_a_stop_string_is_held_back(self) -> None:
        stops = StopStrings(["stop"])
        assert [stops.feed(token) for token in ("a st", "o", "ne")] == ["a", " ", "st"]
        assert stops.rest() == "one"

    @pytest.mark.parametrize(
        ("tokens", "shown", "hit"), [(["a b", "c d"], "a ", "bc"), (["x", "y"], "xy", None), (["bc"], "", "bc")]
    )
    def test_the_answer_is_cut_before_the_first_stop_string(self, tokens: list[str], shown: str, hit: str | None) -> None:
        stops = StopStrings(["bc", "zz"])
        text = ""
        for token in tokens:
            text += stops.feed(token)
            if stops.hit:
                break
        else:
            text += stops.rest()
        assert (text, stops.hit) == (shown, hit)


def value(metrics: Metrics, name: str) -> int:
    line = next(line for line in metrics.page().decode().splitlines() if line.startswith(f"vllm:{name}{{"))
    return int(float(line.rsplit(" ", 1)[1]))


def test_finished_requests_are_counted_by_reason_over_http() -> None:
    from stream_lab.fake import Fake

    with Fake("finite:tokens=3", gap=0) as fake, httpx2.Client(trust_env=False) as client:
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        client.post(f"{fake.base_url}/chat/completions", json=body).raise_for_status()
        page = client.get(fake.base_url.removesuffix("/v1") + "/metrics").text
    assert 'vllm:request_success_total{engine="0",finished_reason="stop",model_name="fake-model"} 1.0' in page
    assert 'vllm:generation_tokens_total{engine="0",model_name="fake-model"} 4.0' in page
    assert 'finished_reason="abort"' in page
