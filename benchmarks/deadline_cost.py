"""The cost of `ChatVllm`'s deadline, and how late it is.

`python benchmarks/deadline_cost.py [--quick] [--json] [--only SECTION …]` measures in one run,
against plain `ChatOpenAI` in the same run, and prints markdown tables:

* chunks: whole streams of 200 tokens, divided by their chunks. All models play in turns, in many
  short rounds, and a difference is the median of the differences within a round, so that neither a
  busy machine nor a slow drift decides. Time is the CPU time of this process, which is held on one
  core; the server is another process. Without a network, a transport in the HTTP client replays the
  bytes of the fake's answer, either without a wait between two packets ("ready") or with a turn of
  the event loop before each ("one by one"). Over a socket, the bundled fake sends as fast as it
  can, each event by itself or fifty in a packet.
* bounded: the same for `bounded` and `bounded_sync` alone, around a generator that does nothing.
* lateness: many streams at once, started one after the other and open together until their
  deadlines. The figure is how long after the deadline, counted from before the call, the client has
  its error and the server sees the disconnect. Beside it are the same figures for plain streams in
  `asyncio.timeout`, and the longest time in which the event loop, or the process, did not get to a
  plain sleep.
* memory: kB for each open stream, each figure from its own process. `tracemalloc` counts what
Python
  allocated; the growth of the process includes the layers below.
* calls: the time to make a model, and for whole calls with an answer of one token.

`ChatVllm` turns LangChain's `stream_chunk_timeout` off. Where that exists, it is also compared with
a `ChatOpenAI` without it.
"""

import argparse
import asyncio
import gc
import importlib
import json
import math
import multiprocessing
import os
import platform
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from statistics import median, quantiles
from typing import Any

import httpx2
import openai
import psutil
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream_deadline import ChatVllm, StreamDeadlineExceeded, bounded, bounded_sync
from stream_lab.experiment.fake import Fake

# The library that the OpenAI SDK's clients are made of differs between the worlds.
http: Any = importlib.import_module(
    "httpx2" if issubclass(openai.DefaultHttpxClient, httpx2.Client) else "httpx"
)

PLAIN, OFF, BOUNDED, ALL_BOUNDS = (
    "ChatOpenAI",
    "ChatOpenAI, chunk timeout off",
    "ChatVllm",
    "ChatVllm, all bounds",
)
HAS_CHUNK_TIMEOUT = "stream_chunk_timeout" in ChatOpenAI.model_fields
KINDS: dict[str, Callable[..., ChatOpenAI]] = {
    PLAIN: partial(ChatOpenAI, timeout=45),
    **(
        {OFF: partial(ChatOpenAI, timeout=45, stream_chunk_timeout=None)}
        if HAS_CHUNK_TIMEOUT
        else {}
    ),
    BOUNDED: partial(ChatVllm, timeout=45),
    ALL_BOUNDS: partial(ChatVllm, timeout=45, first_chunk_timeout=30, idle_timeout=20),
}
GAP = 0.5
REPLAYED = "http://replayed.invalid/v1"

Record = dict[str, Any]  # a row: texts, numbers, or several numbers of one kind by name
Play = Callable[[], int]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    `rounds` of streams of `tokens` tokens, or of N `repeats` of a call; `streams` and `threads` at
    once; `alone` times for a single one; the memory of `open` streams, whose consumers do as
    `consumers` says.
    """

    rounds: int
    tokens: int
    alone: int
    streams: tuple[int, ...]
    threads: tuple[int, ...]
    open: int
    repeats: int
    memory: tuple[str, ...]
    consumers: tuple[str, ...]


TRACED, GROWTH = "by Python (tracemalloc)", "growth of the process (RSS)"
WAITS, STOPPED = "waits for the next chunk", "has stopped pulling"
FULL = Scale(
    rounds=16,
    tokens=200,
    alone=3,
    streams=(1, 100, 500),
    threads=(1, 100),
    open=500,
    repeats=10,
    memory=(TRACED, GROWTH),
    consumers=(WAITS, STOPPED),
)
QUICK = Scale(
    rounds=3,
    tokens=40,
    alone=1,
    streams=(100,),
    threads=(50,),
    open=50,
    repeats=4,
    memory=(TRACED,),
    consumers=(WAITS,),
)


@dataclass(frozen=True)
class Spent:
    """The cost of one round, in microseconds for each chunk or call."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Lab:
    """The needs of every section: the scale, two servers, and a sign of life."""

    scale: Scale
    fast: Fake
    paced: Fake
    done: Callable[[str], None]


# --- taking turns ------------------------------------------------


def in_turns(plays: dict[str, Play], rounds: int) -> dict[str, list[Spent]]:
    """Play each `rounds` times, forwards and backwards in turn.

    A play returns how many chunks or calls it had.
    """
    spent: dict[str, list[Spent]] = {name: [] for name in plays}
    with on_one_core():
        for play in plays.values():
            play()
        for turn in range(rounds):
            for name in list(plays)[:: 1 if turn % 2 else -1]:
                spent[name].append(timed(plays[name]))
    return spent


def timed(play: Play) -> Spent:
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    count = play()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Spent(cpu / count * 1e6, wall / count * 1e6)


@contextmanager
def on_one_core() -> Iterator[None]:
    """Hold this process on one core.

    LangChain's parser works in threads, and the cost of a change of threads depends on which cores
    are free.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def compared(spent: dict[str, list[Spent]]) -> Record:
    """Return the median CPU time of each, and how much more `ChatVllm` takes."""
    record: Record = {
        f"{name}, µs": median(each.cpu for each in rounds) for name, rounds in spent.items()
    }
    for other in (PLAIN, OFF):
        if other in spent:
            record[f"more than {other}, µs"] = more(spent[BOUNDED], spent[other])
            record[f"times {other}"] = times(spent[BOUNDED], spent[other])
    record["by the clock, µs"] = median(
        a.wall - b.wall for a, b in zip(spent[BOUNDED], spent[PLAIN], strict=True)
    )
    return record


def more(mine: list[Spent], other: list[Spent]) -> dict[str, float]:
    """Return the differences within each round, and the one between the best rounds."""
    low, middle, high = quantiles([a.cpu - b.cpu for a, b in zip(mine, other, strict=True)], n=4)
    best = min(each.cpu for each in mine) - min(each.cpu for each in other)
    return {"median": middle, "1st quartile": low, "3rd": high, "of the minima": best}


def times(mine: list[Spent], other: list[Spent]) -> dict[str, float]:
    """Return the ratios within each round, and the one of the best rounds."""
    best = min(each.cpu for each in mine) / min(each.cpu for each in other)
    return {
        "median": median(a.cpu / b.cpu for a, b in zip(mine, other, strict=True)),
        "of the minima": best,
    }


# --- chunks ------------------------------------------------


class Replay:
    """A server inside the HTTP client, which replays the fake's recorded packets.

    Attributes:
        waits: whether to give way before each packet.
    """

    def __init__(self, fake: Fake, tokens: int) -> None:
        body = {
            "model": fake.model,
            "messages": [{"role": "user", "content": "Hi"}],
            "fake_scenario": f"finite:tokens={tokens}",
        }
        url = f"{fake.base_url}/chat/completions"
        with httpx2.Client(trust_env=False) as client:
            self.whole = client.post(url, json=body).content
            streamed = client.post(
                url, json={**body, "stream": True, "stream_options": {"include_usage": True}}
            ).content
        self.packets = [event + b"\n\n" for event in streamed.split(b"\n\n") if event]
        self.waits = False

    def settings(self) -> dict[str, Any]:
        return {
            "http_client": http.Client(transport=http.MockTransport(self._answer)),
            "http_async_client": http.AsyncClient(transport=http.MockTransport(self._aanswer)),
        }

    def _answer(self, request: Any) -> Any:
        return self._response(request, iter(self.packets))

    async def _aanswer(self, request: Any) -> Any:
        return self._response(request, self._apackets())

    def _response(self, request: Any, packets: object) -> Any:
        if b'"stream":true' in request.content:
            return http.Response(
                200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=packets
            )
        return http.Response(200, headers={"content-type": "application/json"}, content=self.whole)

    async def _apackets(self) -> AsyncIterator[bytes]:
        for packet in self.packets:
            if self.waits:
                await asyncio.sleep(0)
            yield packet


def settings(fake: Fake, scenario: str) -> dict[str, Any]:
    """Return the arguments of a model; plain `ChatOpenAI` would not request the usage."""
    return {
        "model": fake.model,
        "base_url": fake.base_url,
        "api_key": "none",
        "stream_usage": True,
        "extra_body": {"fake_scenario": scenario},
    }


async def count(stream: AsyncIterator[Any]) -> int:
    counted = 0
    async for _ in stream:
        counted += 1
    return counted


def count_sync(stream: Iterator[Any]) -> int:
    return sum(1 for _ in stream)


def chunk_plays(runner: asyncio.Runner, call: str, made_with: dict[str, Any]) -> dict[str, Play]:
    """Return one way to call, for each kind of model that differs in it."""
    if call == "stream":
        return {
            name: partial(play_sync, KINDS[name](**made_with))
            for name in (PLAIN, BOUNDED, ALL_BOUNDS)
        }
    if call == "chain.astream":
        return {
            name: partial(play, runner, KINDS[name](**made_with) | StrOutputParser())
            for name in KINDS
            if name != ALL_BOUNDS
        }
    return {name: partial(play, runner, kind(**made_with)) for name, kind in KINDS.items()}


def play(runner: asyncio.Runner, model: Runnable[Any, Any]) -> int:
    return runner.run(count(model.astream("Hi")))


def play_sync(model: Runnable[Any, Any]) -> int:
    return count_sync(model.stream("Hi"))


def chunks(lab: Lab) -> list[Record]:
    records = []
    replay = Replay(lab.fast, lab.scale.tokens)
    finite = f"finite:tokens={lab.scale.tokens}"
    replayed = {**settings(lab.fast, finite), "base_url": REPLAYED, **replay.settings()}
    deliveries: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
        ("ready", replayed, ("astream", "chain.astream", "stream")),
        ("one by one", replayed, ("astream", "chain.astream")),
        ("socket", settings(lab.fast, finite), ("astream", "chain.astream", "stream")),
        (
            "socket, 50 a packet",
            settings(lab.fast, f"{finite}+burst:tokens=50"),
            ("astream", "chain.astream", "stream"),
        ),
    ]
    with asyncio.Runner() as runner:
        for delivery, made_with, calls in deliveries:
            replay.waits = delivery == "one by one"
            for call in calls:
                spent = in_turns(chunk_plays(runner, call, made_with), lab.scale.rounds)
                records.append({"call": call, "chunks come": delivery, **compared(spent)})
                lab.done(f"{call}, {delivery}")
    return records


# --- bounded ------------------------------------------------


async def numbers(length: int, waits: bool) -> AsyncIterator[int]:
    for number in range(length):
        if waits:
            await asyncio.sleep(0)
        yield number


def bounded_alone(lab: Lab) -> list[Record]:
    length = lab.scale.tokens * 20
    with asyncio.Runner() as runner:
        records = [
            alone(
                lab,
                "bounded",
                come,
                partial(play_bare, runner, length, waits),
                partial(play_bounded, runner, length, waits),
            )
            for come, waits in (("ready", False), ("one by one", True))
        ]
    bare, with_deadline = partial(play_range, length), partial(play_bounded_range, length)
    return [*records, alone(lab, "bounded_sync", "ready", bare, with_deadline)]


def alone(lab: Lab, what: str, come: str, bare: Play, with_deadline: Play) -> Record:
    spent = in_turns({"bare": bare, "bounded": with_deadline}, lab.scale.rounds)
    lab.done(what)
    medians = {f"{name}, µs": median(each.cpu for each in rounds) for name, rounds in spent.items()}
    return {
        "what": what,
        "items come": come,
        **medians,
        "more, µs": more(spent["bounded"], spent["bare"]),
    }


def play_bare(runner: asyncio.Runner, length: int, waits: bool) -> int:
    return runner.run(count(numbers(length, waits)))


def play_bounded(runner: asyncio.Runner, length: int, waits: bool) -> int:
    async def here() -> int:  # the clock starts in a running event loop
        return await count(bounded(numbers(length, waits), 45))

    return runner.run(here())


def play_range(length: int) -> int:
    return count_sync(iter(range(length)))


def play_bounded_range(length: int) -> int:
    return count_sync(bounded_sync(iter(range(length)), 45))


# --- lateness ------------------------------------------------


BY_TIMEOUT, BY_SCOPE, IN_THREADS = (
    "ChatVllm.astream",
    "ChatOpenAI.astream in asyncio.timeout",
    "ChatVllm.stream, a thread each",
)


class Crowd:
    """Streams that all run into their deadline, with ids for the server's ledger."""

    def __init__(self, fake: Fake, way: str, size: int) -> None:
        # A core can begin some hundred streams a second, and none should begin while others end.
        self.spread = max(1.0, size * 0.008)
        self.deadline = self.spread + 1.0
        kind = (
            partial(KINDS[OFF if HAS_CHUNK_TIMEOUT else PLAIN], timeout=45)
            if way == BY_SCOPE
            else partial(ChatVllm, timeout=self.deadline)
        )
        self.model = kind(**settings(fake, "endless"))
        self.way = way
        self.name = uuid.uuid4().hex
        self.size = size
        self.due: dict[str, float] = {}
        self.raised: dict[str, float] = {}

    def play(self) -> float:
        """Play the streams, and return the longest standstill beside them, in seconds."""
        return in_threads(self) if self.way == IN_THREADS else asyncio.run(in_a_loop(self))

    def ids(self) -> list[str]:
        return [f"{self.name}-{number}" for number in range(self.size)]

    def pause(self, index: int) -> float:
        return index / self.size * self.spread

    def begin(self, id: str) -> dict[str, Any]:
        self.due[id] = time.monotonic() + self.deadline
        return {"extra_headers": {"x-request-id": id}}

    async def one(self, index: int, id: str) -> None:
        await asyncio.sleep(self.pause(index))
        with suppress(TimeoutError):
            async with asyncio.timeout(self.deadline if self.way == BY_SCOPE else None):
                await count(self.model.astream("Hi", **self.begin(id)))
            raise RuntimeError("the fake stopped by itself")
        self.raised[id] = time.monotonic()

    def one_sync(self, index: int, id: str) -> None:
        time.sleep(self.pause(index))
        with suppress(StreamDeadlineExceeded):
            count_sync(self.model.stream("Hi", **self.begin(id)))
            raise RuntimeError("the fake stopped by itself")
        self.raised[id] = time.monotonic()

    def server_late(self, fake: Fake) -> list[float]:
        """Return the seconds after each deadline until the server saw the disconnect.

        Infinite: it had not seen it two seconds later.
        """
        until = time.monotonic() + 2
        while None in (left := self._left(fake)).values() and time.monotonic() < until:
            time.sleep(0.1)
        return [
            math.inf if (moment := left[id]) is None else moment - due
            for id, due in self.due.items()
        ]

    def _left(self, fake: Fake) -> dict[str, float | None]:
        with httpx2.Client(trust_env=False) as client:
            entries = client.get(fake.base_url.removesuffix("/v1") + "/ledger").json()["requests"]
        ids = {entry["id"].split("-", 1)[1]: entry["client_left"] for entry in entries}
        return {id: ids.get(id) for id in self.due}

    def caller_late(self) -> list[float]:
        return [self.raised[id] - due for id, due in self.due.items()]


async def in_a_loop(crowd: Crowd) -> float:
    await count(
        crowd.model.astream("Hi", max_tokens=1)
    )  # what only the first call does is not what is asked here
    late: list[float] = []
    beside = asyncio.create_task(sleeps(late))
    await asyncio.gather(*(crowd.one(index, id) for index, id in enumerate(crowd.ids())))
    beside.cancel()
    return max(late)


async def sleeps(late: list[float]) -> None:
    while True:
        due = time.monotonic() + 0.005
        await asyncio.sleep(0.005)
        late.append(time.monotonic() - due)


def in_threads(crowd: Crowd) -> float:
    count_sync(crowd.model.stream("Hi", max_tokens=1))
    late = 0.0
    with ThreadPoolExecutor(crowd.size) as pool:
        futures = [pool.submit(crowd.one_sync, index, id) for index, id in enumerate(crowd.ids())]
        while not all(future.done() for future in futures):
            due = time.monotonic() + 0.005
            time.sleep(0.005)
            late = max(late, time.monotonic() - due)
        for future in futures:
            future.result()
    return late


def lateness(lab: Lab) -> list[Record]:
    crowds = [
        (way, size)
        for size in lab.scale.streams
        for way in (BY_TIMEOUT, BY_SCOPE)
        if size > 1 or way == BY_TIMEOUT
    ]
    return [
        late(lab, way, size)
        for way, size in [*crowds, *((IN_THREADS, size) for size in lab.scale.threads)]
    ]


def late(lab: Lab, way: str, size: int) -> Record:
    caller, server, still = [], [], []
    cpu, wall = time.process_time(), time.monotonic()
    for _ in range(lab.scale.alone if size == 1 else 1):
        crowd = Crowd(lab.paced, way, size)
        still.append(crowd.play())
        caller += crowd.caller_late()
        server += crowd.server_late(lab.paced)
    busy = (time.process_time() - cpu) / (time.monotonic() - wall)
    lab.done(f"{size} at once, {way}")
    return {
        "way": way,
        "at once": size,
        "streams": len(caller),
        "deadline, s": crowd.deadline,
        "error at the caller, ms": percentiles(caller),
        "client gone at the server, ms": percentiles(server),
        "longest standstill, ms": max(still) * 1e3,
        "CPU": f"{busy:.0%}",
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return percentiles by rank, so that each value was measured."""
    ordered = sorted(seconds)
    picked = {
        f"p{percent}": ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1e3
        for percent in (50, 95, 99)
    }
    return {**picked, "max": ordered[-1] * 1e3}


# --- memory ------------------------------------------------


def kilobytes(kind: str, base_url: str, streams: int, pulls: bool, traced: bool) -> float:
    """Return kB for each of many open streams, after three tokens, from its own process."""
    return asyncio.run(_kilobytes(kind, base_url, streams, pulls, traced))


async def _kilobytes(kind: str, base_url: str, streams: int, pulls: bool, traced: bool) -> float:
    scenario = f"endless+stall:after={3 if pulls else 30}"
    model = KINDS[kind](
        model="fake-model",
        base_url=base_url,
        api_key="none",
        stream_usage=True,
        extra_body={"fake_scenario": scenario},
    )
    warm = await opened(model, 20, pulls)
    before = in_use(traced)
    crowd = await opened(model, streams, pulls)
    after = in_use(traced)
    for task in (*warm, *crowd):
        task.cancel()
    await asyncio.gather(*warm, *crowd, return_exceptions=True)
    return (after - before) / streams / 1e3


def in_use(traced: bool) -> int:
    gc.collect()
    if not traced:
        return int(psutil.Process().memory_info().rss)
    if not tracemalloc.is_tracing():
        tracemalloc.start(1)
    return tracemalloc.get_traced_memory()[0]


async def opened(model: ChatOpenAI, streams: int, pulls: bool) -> list["asyncio.Task[None]"]:
    """Open N streams that have sent three tokens; their consumers wait or stop pulling."""
    arrived = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(pull(model.astream("Hi"), arrived, pulls)) for _ in range(streams)]
    for _ in range(streams):
        await arrived.acquire()
    await asyncio.sleep(0.1 if pulls else 1.0)  # for a reader to read ahead
    return tasks


async def pull(stream: AsyncIterator[Any], arrived: asyncio.Semaphore, pulls: bool) -> None:
    said = 0
    async for chunk in stream:
        said += bool(chunk.content)
        del chunk
        if said == 3:
            arrived.release()
            if not pulls:
                await asyncio.Event().wait()


def memory(lab: Lab) -> list[Record]:
    records = []
    kinds = (PLAIN, BOUNDED)
    with Fake("endless", gap=0.03, max_num_seqs=1000) as fake, processes() as pool:
        for consumer in lab.scale.consumers:
            for measured in lab.scale.memory:
                given = [
                    (kind, fake.base_url, lab.scale.open, consumer == WAITS, measured == TRACED)
                    for kind in kinds
                ]
                plain, mine = pool.map(kilobytes, *zip(*given, strict=True))
                cells = {f"{PLAIN}, kB": plain, f"{BOUNDED}, kB": mine, "more, kB": mine - plain}
                records.append(
                    {"consumer": consumer, "streams": lab.scale.open, "measured": measured, **cells}
                )
                lab.done(f"memory {measured}")
    return records


def processes() -> ProcessPoolExecutor:
    """Run processes two at a time; each does one thing and ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stream_deadline", "stream_lab.experiment.fake"])
    return ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1)


# --- calls ------------------------------------------------


def calls(lab: Lab) -> list[Record]:
    replayed = {**settings(lab.fast, "finite:tokens=1"), "base_url": REPLAYED}
    answered = {**replayed, **Replay(lab.fast, 1).settings()}
    with asyncio.Runner() as runner, Fake("finite:tokens=1", gap=0) as fresh:
        ways: dict[str, Callable[[str], Play]] = {
            "invoke": lambda kind: repeat(lab, KINDS[kind](**answered).invoke, "Hi"),
            "ainvoke": lambda kind: repeat(lab, on(runner, KINDS[kind](**answered).ainvoke), "Hi"),
            "stream": lambda kind: repeat(lab, play_sync, KINDS[kind](**answered)),
            "astream": lambda kind: repeat(lab, play, runner, KINDS[kind](**answered)),
            "making a model": lambda kind: repeat(lab, partial(KINDS[kind], **replayed)),
            "the first ainvoke in a new event loop": lambda kind: first_call(lab, fresh, kind),
        }
        return [call(lab, what, way) for what, way in ways.items()]


def call(lab: Lab, what: str, way: Callable[[str], Play]) -> Record:
    spent = in_turns({kind: way(kind) for kind in KINDS if kind != ALL_BOUNDS}, lab.scale.rounds)
    lab.done(what)
    return {"what": what, **compared(spent)}


def repeat(lab: Lab, action: Callable[..., object], *arguments: object) -> Play:
    def actions() -> int:
        for _ in range(lab.scale.repeats):
            action(*arguments)
        return lab.scale.repeats

    return actions


def on(
    runner: asyncio.Runner, action: Callable[..., Coroutine[Any, Any, object]]
) -> Callable[..., object]:
    return lambda *arguments: runner.run(action(*arguments))


def first_call(lab: Lab, fresh: Fake, kind: str) -> Play:
    """Time a first call over a socket, each on a new connection.

    A pooled connection would belong to an event loop that has ended.
    """
    model = KINDS[kind](**settings(fresh, "finite"), default_headers={"connection": "close"})
    return repeat(lab, lambda: asyncio.run(model.ainvoke("Hi", max_tokens=1)))


# --- the whole ------------------------------------------------

SECTIONS: dict[str, tuple[str, Callable[[Lab], list[Record]]]] = {
    "chunks": ("CPU time per chunk", chunks),
    "bounded": ("CPU time per item of `bounded` and `bounded_sync` alone", bounded_alone),
    "lateness": ("How late", lateness),
    "memory": ("Memory per open stream", memory),
    "calls": ("CPU time per call", calls),
}


@contextmanager
def signs_of_life() -> Iterator[Callable[[str], None]]:
    """Print on stderr, so that stdout can go into a file."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def done(what: str) -> None:
            progress.update(task, description=what, advance=1)

        yield done


def measure(scale: Scale, names: Iterable[str]) -> dict[str, list[Record]]:
    results = {}
    with (
        Fake("finite", gap=0) as fast,
        Fake("endless", gap=GAP, max_num_seqs=1000) as paced,
        signs_of_life() as done,
    ):
        for name in names:
            results[name] = SECTIONS[name][1](Lab(scale, fast, paced, done))
    return results


def world() -> str:
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("langchain-core", "langchain-openai", "openai")
    )
    return f"Python {platform.python_version()}, {versions}"


def markdown(records: list[Record]) -> str:
    """Return a table, in which several numbers of one kind share a cell."""
    headings = {heading(*cell): cell[0] for record in records for cell in record.items()}
    rows = [list(headings), ["---"] * len(headings)]
    rows += [[shown(record.get(name, "")) for name in headings.values()] for record in records]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def heading(name: str, value: object) -> str:
    return f"{name}: {' / '.join(value)}" if isinstance(value, dict) else name


def shown(value: object) -> str:
    if isinstance(value, dict):
        return " / ".join(map(shown, value.values()))
    if isinstance(value, float):
        return (
            f"{value:.2f}"
            if abs(value) < 10
            else f"{value:.1f}"
            if abs(value) < 100
            else f"{value:.0f}"
        )
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and streams, half a minute"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(SECTIONS),
        default=list(SECTIONS),
        metavar="SECTION",
        help=", ".join(SECTIONS),
    )
    options = parser.parse_args()
    gc.freeze()  # imported objects are not collected again before every round
    results = measure(QUICK if options.quick else FULL, options.only)
    if options.json:
        print(json.dumps({"world": world(), **results}, ensure_ascii=False, indent=1))
        return
    print(world())
    for name, records in results.items():
        print(f"\n{SECTIONS[name][0]}\n\n{markdown(records)}")


if __name__ == "__main__":
    main()
