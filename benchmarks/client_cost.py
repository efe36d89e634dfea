"""The cost of `bounded_client` over the bare SDK, and what is left in its pool.

`python benchmarks/client_cost.py [--quick] [--json]` measures in one run:

* chunks: whole streams of 500 tokens from the bundled fake, over a socket, each event by itself or
  fifty in a packet. The bare client and the bounded one play in turns, and the difference is the
  median of the differences within a round. Time is the CPU time of this process per chunk.
* body: the same without a network and an SDK, which is less noisy: 50,000 packets of a body that
  are there already, per packet.
* calls: the same for whole calls with an answer of one token.
* the pool: 1000 calls that end in different ways, each ten seconds at most, twenty at a time; then
  the connections that are still counted as in use, and the requests that still wait for one.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from importlib.metadata import version
from statistics import median, quantiles
from typing import Any

import openai
from deadline_cost import Play, Record, Spent, in_turns, markdown, signs_of_life

from stream_deadline import bounded_client
from stream_deadline._body import _AsyncBody, _SyncBody
from stream_deadline._budget import Bounds, Budget
from stream_deadline._connection import ConnectionTracker
from stream_deadline._http_clients import http_clients, pools
from stream_lab.experiment.fake import Fake

BARE = "bare"
BOUNDS: dict[str, dict[str, float]] = {
    "timeout": {"timeout": 45},
    "timeout, idle_timeout": {"timeout": 45, "idle_timeout": 20},
}
ENDS = ["finite:tokens=3", "stall:after=1", "no_headers", "half_event", "refuse:status=503"]
LIMIT, AT_ONCE = 0.3, 20
PACKET, PACKETS = b'data: {"choices":[{"delta":{"content":"on"}}]}\n\n', 50_000


def clients(make: Callable[[], Any]) -> dict[str, Any]:
    """Return the bare client and the bounded ones."""
    bounded = {name: bounded_client(make(), **bounds) for name, bounds in BOUNDS.items()}
    return {BARE: make(), **bounded}


def body(fake: Fake, scenario: str, stream: bool = True) -> dict[str, Any]:
    return {
        "model": fake.model,
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": stream,
        "extra_body": {"fake_scenario": scenario},
    }


def play_sync(client: Any, sent: dict[str, Any]) -> int:
    return sum(1 for _ in client.chat.completions.create(**sent))


def play(runner: asyncio.Runner, client: Any, sent: dict[str, Any]) -> int:
    async def read() -> int:
        counted = 0
        async for _ in await client.chat.completions.create(**sent):
            counted += 1
        return counted

    return runner.run(read())


def call_sync(client: Any, sent: dict[str, Any], times: int) -> int:
    for _ in range(times):
        client.chat.completions.create(**sent)
    return times


def call(runner: asyncio.Runner, client: Any, sent: dict[str, Any], times: int) -> int:
    async def ask() -> int:
        for _ in range(times):
            await client.chat.completions.create(**sent)
        return times

    return runner.run(ask())


def compared(spent: dict[str, list[Spent]]) -> Record:
    """Return the median of the bare client, and the differences within the rounds."""
    record: Record = {"bare, µs": median(each.cpu for each in spent[BARE])}
    for name in BOUNDS:
        rounds = zip(spent[name], spent[BARE], strict=True)
        low, middle, high = quantiles([mine.cpu - other.cpu for mine, other in rounds], n=4)
        record[f"{name}: more, µs"] = {"1st quartile": low, "median": middle, "3rd": high}
    return record


def cost(fake: Fake, rounds: int, tokens: int, done: Callable[[str], None]) -> Iterator[Record]:
    settings: dict[str, Any] = {"api_key": "none", "base_url": fake.base_url}
    finite = f"finite:tokens={tokens}"
    with asyncio.Runner() as runner:
        ways: dict[str, tuple[Callable[[], Any], Callable[..., Play], Callable[..., Play]]] = {
            "OpenAI": (
                partial(openai.OpenAI, **settings),
                lambda *given: partial(play_sync, *given),
                lambda *given: partial(call_sync, *given),
            ),
            "AsyncOpenAI": (
                partial(openai.AsyncOpenAI, **settings),
                lambda *given: partial(play, runner, *given),
                lambda *given: partial(call, runner, *given),
            ),
        }
        for kind, (make, stream, whole) in ways.items():
            made = clients(make)
            plays: dict[str, dict[str, Play]] = {
                "a chunk, each in a packet": {
                    name: stream(client, body(fake, finite)) for name, client in made.items()
                },
                "a chunk, 50 a packet": {
                    name: stream(client, body(fake, f"{finite}+burst:tokens=50"))
                    for name, client in made.items()
                },
                "a whole call": {
                    name: whole(client, body(fake, "finite:tokens=1", stream=False), 30)
                    for name, client in made.items()
                },
            }
            for what, each in plays.items():
                yield {"client": kind, "what": what, **compared(in_turns(each, rounds))}
                done(f"{kind}, {what}")


class Ready:
    """A response whose body is there already."""

    def __init__(self) -> None:
        self.stream = self
        self.extensions: dict[str, Any] = {}

    def __iter__(self) -> Iterator[bytes]:
        return itertools.repeat(PACKET, PACKETS)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(PACKETS):
            yield PACKET

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def read_ready(bounds: Bounds | None) -> int:
    answer: Any = Ready()
    if bounds is not None:
        budget = Budget(bounds, time.monotonic)
        answer = _SyncBody(answer, budget, ConnectionTracker(budget, blocking=True))
    return sum(1 for _ in answer)


def read_ready_async(runner: asyncio.Runner, bounds: Bounds | None) -> int:
    async def read() -> int:
        answer: Any = Ready()
        if bounds is not None:
            budget = Budget(bounds, time.monotonic)
            answer = _AsyncBody(answer, budget, ConnectionTracker(budget, blocking=False))
        counted = 0
        async for _ in answer:
            counted += 1
        return counted

    return runner.run(read())


def bodies(rounds: int) -> Iterator[Record]:
    kinds: dict[str, Bounds | None] = {
        BARE: None,
        **{name: Bounds(**bounds) for name, bounds in BOUNDS.items()},
    }
    what = "a packet that is there"
    yield {
        "client": "the body alone",
        "what": what,
        **compared(in_turns({name: partial(read_ready, b) for name, b in kinds.items()}, rounds)),
    }
    with asyncio.Runner() as runner:
        plays: dict[str, Play] = {
            name: partial(read_ready_async, runner, b) for name, b in kinds.items()
        }
        yield {
            "client": "the body alone, asynchronous",
            "what": what,
            **compared(in_turns(plays, rounds)),
        }


def pool_after(fake: Fake, calls: int) -> Record:
    """Make mixed calls, and count what the pool has not got back."""
    scenarios = itertools.islice(itertools.cycle(ENDS), calls)

    async def ask() -> Record:
        client = openai.AsyncOpenAI(api_key="none", base_url=fake.base_url, max_retries=0)
        bounded_client(client, timeout=LIMIT)
        turn = asyncio.Semaphore(AT_ONCE)
        ends: dict[str, int] = {}

        async def one(scenario: str) -> None:
            async with turn:
                try:
                    async for _ in await client.chat.completions.create(**body(fake, scenario)):
                        pass
                    end = "whole"
                except openai.OpenAIError as error:
                    end = type(error).__name__
                ends[end] = ends.get(end, 0) + 1

        await asyncio.gather(*map(one, scenarios))
        [http] = http_clients(client)
        [pool] = pools(http)
        in_use = [each for each in pool.connections if not each.is_idle()]
        return {
            "calls": calls,
            **{f"ended: {name}": count for name, count in sorted(ends.items())},
            "connections in the pool": len(pool.connections),
            "still in use": len(in_use),
            "requests still waiting": len(pool._requests),
        }

    return asyncio.run(ask())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a quarter of a minute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rounds, tokens, calls = (4, 100, 100) if options.quick else (24, 500, 1000)
    with Fake("finite", gap=0, max_num_seqs=1000) as fake, signs_of_life() as done:
        costs = [*bodies(rounds), *cost(fake, rounds, tokens, done)]
        pool = pool_after(fake, calls)
    if options.json:
        print(json.dumps({"cost": costs, "pool": pool}, ensure_ascii=False, indent=1))
        return
    print(f"openai {version('openai')}, CPU time\n\n{markdown(costs)}\n\n{markdown([pool])}")


if __name__ == "__main__":
    main()
