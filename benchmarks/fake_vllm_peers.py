"""A comparison of `fake_vllm` with other fake servers, in one run on one machine.

`python benchmarks/fake_vllm_peers.py [--quick] [--only ROW …] [--servers NAME …] [--seconds S]
[--rounds N] [--json FILE]` plays the same loads on `fake_vllm`, on a bare ASGI application under
uvicorn ("raw", the cost of uvicorn itself) and on its peers. Missing peers are installed into a
cache folder: AIMock (npm), LLM Katan and guidellm's mock server (PyPI; the last takes 5 GB). It
prints a markdown table. Each cell is a figure and its ratio to the best peer's; 2.00× is always
twice as good, even where less is better. "raw" is not a peer. Trust the ratios more than the
figures; notes on disturbed figures are below the table.

Servers take turns row by row, in a new process each time, held on one core, with the client on
another. Rows:

* unpaced1, unpaced16: N streams at once, as fast as they go, whole: 200 000 events together, again
  until the time is up.
* paced200 (10 ms), paced1000 (50 ms): 20 000 events a second. paced1000fast (20 ms): 50 000; only
the
  fake and raw. Streams begin one after the other within a second; the figure is from a window of
  `--seconds` once all flow. How late an event is follows from the schedule that fits its own stream
  best, on which no event is early.
* unread: one client requests 200 000 events and does not read for 4 s.
* idle: 10 000 open streams that have sent one token and wait (scenario `stall`); only the fake.
* endless: one stream of 10 million events; only the fake.
* start: from the start of the process to the first event of a streamed answer, and its memory then.
* drop: 200 clients at 10 ms disconnect at once. The figures are how long until the server has
closed
  their sockets, and until the fake, by its own `vllm:num_requests_running`, has stopped; and the
  CPU that it takes 3 to 6 seconds later.

CPU is user and system time of the server and its children. MB are 10⁶ bytes of resident memory.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import socket
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NoReturn, cast

import psutil
import uvloop
from peer_servers import HOST, PEERS, Load, Server, Unfit
from rich import box
from rich.console import Console
from rich.table import Table

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MARK, DONE = b"data: ", b"[DONE]"
REST = 0.001  # seconds; uvloop's timers have no finer ones
PACKET = 65_536  # bytes
ROOM = 4 << 20  # bytes; the system may allow less
BEGINS_WITHIN = 60.0
BUSY = 0.1  # of a core: from here on other processes count as a disturbance
FULL_CLIENT = 0.9

Figures = dict[str, float]

# Figures of which less is better, each with the least meaningful difference. Of others, more is.
LESS = {
    "first event, worst, ms": 0.1,
    "late p50, ms": 0.1,
    "late p99, ms": 0.1,
    "late max, ms": 0.1,
    "peak RSS, MB": 1.0,
    "peak RSS growth, MB": 1.0,
    "RSS, MB": 1.0,
    "MB per 1000 streams": 0.1,
    "min, s": 0.001,
    "median, s": 0.001,
    "idle RSS, MB": 1.0,
    "sockets closed, s": 0.001,
    "none running, s": 0.001,
    "CPU share afterwards": 0.01,
}


@dataclass(frozen=True)
class Scale:
    """How much is measured, with times in seconds.

    Attributes:
        seconds: a window.
        spread: the time in which paced streams begin.
        settle: the time from then to the window.
        events: the events of all unpaced streams of a round together.
        unread: how long the client does not read.
        idle: the number of waiting streams.
        marks: the events of the endless stream at which memory is read.
        endless: the longest that the endless stream may take.
        starts: the number of processes to start.
        after: from and until when the CPU is read after a drop.
    """

    seconds: float = 5.0
    spread: float = 1.0
    settle: float = 1.5
    events: int = 200_000
    unread: float = 4.0
    idle: int = 10_000
    marks: tuple[int, ...] = (1_000_000, 5_000_000, 10_000_000)
    endless: float = 300.0
    starts: int = 5
    after: tuple[float, float] = (3.0, 6.0)

    def tokens(self, gap_ms: int) -> int:
        """Return enough tokens for a paced stream to outlast its window."""
        return round((self.seconds * 5 + 3) * 1000 / gap_ms)


FULL = Scale()
QUICK = Scale(0.6, 0.2, 0.2, 50_000, 0.5, 1000, (50_000, 100_000, 200_000), 5.0, 2, (0.3, 0.6))


@dataclass
class Lab:
    """The settings of a row: scale, servers' core (None: any), and notes."""

    scale: Scale
    core: int | None
    notes: list[str] = field(default_factory=list)


# --- the client ------------------------------------------------


class Reader(asyncio.Protocol):
    """One stream, which counts its events, and notes their times while `arrivals` is an array.

    Times are those of `time.perf_counter()`.

    Attributes:
        rest: seconds to pause after a small packet, so that the next one is larger and the client
            is not the limit. 0: never.
    """

    def __init__(self, request: bytes, rest: float) -> None:
        loop = asyncio.get_running_loop()
        self.rest = rest
        self.later = loop.call_later
        self.request = request
        self.count = 0
        self.arrivals: array[float] | None = None
        self.first = 0.0  # seconds from the request to the first event
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        # Data that arrives during a rest needs room, or the server would wait, and send larger
        # packets.
        if self.rest:
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM
            )
        self._asked = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        found = data.count(MARK) + (self._tail[-5:] + data[:5]).count(MARK)
        self._tail = data[-32:] if len(data) >= 32 else (self._tail + data)[-32:]
        if found:
            self.count += found
            if self.arrivals is not None:
                self.arrivals.extend((now,) * found)
            if not self.begun.done():
                self.first = now - self._asked
                self.begun.set_result(None)
        if DONE in self._tail and not self.ended.done():
            self.ended.set_result(None)
        elif self.rest and len(data) < PACKET:
            self.transport.pause_reading()
            self.later(self.rest, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        for waited in (self.begun, self.ended):
            if not waited.done():
                waited.set_result(None)


async def opened(server: Server, streams: int, spread: float = 0.0) -> list[Reader]:
    """Open N connections that have sent their request, evenly within `spread` seconds."""
    rest = 0.0 if server.load.gap_ms else REST
    loop = asyncio.get_running_loop()

    async def one(index: int) -> Reader:
        await asyncio.sleep(index / streams * spread)
        _, reader = await loop.create_connection(
            lambda: Reader(server.request, rest), HOST, server.port
        )
        return reader

    return await asyncio.gather(*map(one, range(streams)))


async def all_begun(readers: list[Reader]) -> None:
    """Wait for the first event of each."""
    await waited(readers, [reader.begun for reader in readers], BEGINS_WITHIN, "begin")
    if silent := sum(not reader.count for reader in readers):
        raise Unfit(f"{silent} of {len(readers)} streams ended without an event")


async def all_ended(readers: list[Reader], within: float) -> None:
    """Wait for the last event of each."""
    await waited(readers, [reader.ended for reader in readers], within, "end")
    if cut := sum(DONE not in reader._tail for reader in readers):
        raise Unfit(f"{cut} of {len(readers)} streams were cut off")


async def waited(
    readers: list[Reader], futures: list["asyncio.Future[None]"], within: float, what: str
) -> None:
    _, missing = await asyncio.wait(futures, timeout=within)
    if missing:
        drop(readers)
        raise Unfit(
            f"{len(missing)} of {len(readers)} streams did not {what} within {within:.0f} s"
        )


def drop(readers: Iterable[Reader]) -> None:
    for reader in readers:
        reader.transport.abort()


# --- watching ------------------------------------------------


class Watch:
    """The CPU time and the wall time of a `with` block, with notes on disturbances."""

    def __init__(self, lab: Lab, server: Server) -> None:
        self._lab = lab
        self._server = server

    def __enter__(self) -> "Watch":
        self._core = core_busy(self._server.core)
        self.cpu, self._mine, self.wall = (
            self._server.cpu(),
            time.process_time(),
            time.perf_counter(),
        )
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            return
        self.wall = time.perf_counter() - self.wall
        self._mine = time.process_time() - self._mine
        self.cpu = self._server.cpu() - self.cpu
        others = (core_busy(self._server.core) - self._core - self.cpu) / self.wall
        if others > BUSY:
            self._lab.notes.append(f"others took {others:.0%} of its core")
        if self._mine / self.wall > FULL_CLIENT:
            self._lab.notes.append(
                f"the client was busy for {self._mine / self.wall:.0%} of the time"
            )


def core_busy(core: int | None) -> float:
    """Return the core's seconds of use; 0 where servers are not held on one."""
    if core is None:
        return 0.0
    times = psutil.cpu_times(percpu=True)[core]
    return float(sum(times[:8]) - times.idle - times.iowait)


class Peak:
    """The most memory of a server, in MB, from ten samples a second."""

    def __init__(self, server: Server) -> None:
        self.before = self.most = server.rss()
        self._server = server

    def look(self) -> None:
        self.most = max(self.most, self._server.rss())


@asynccontextmanager
async def peak(server: Server) -> Any:
    """Return a `Peak` that samples by itself."""
    seen = Peak(server)

    async def looks() -> NoReturn:
        while True:
            await asyncio.sleep(0.1)
            seen.look()

    task = asyncio.create_task(looks())
    try:
        yield seen
    finally:
        task.cancel()


# --- rows ------------------------------------------------


async def unpaced(lab: Lab, server: Server, streams: int) -> Figures:
    """Play streams as fast as they go, again and again until the time is up."""
    events = 0
    firsts: list[float] = []
    within = max(60.0, lab.scale.seconds * 4)
    with Watch(lab, server) as spent:
        until = time.perf_counter() + lab.scale.seconds
        while not firsts or time.perf_counter() < until:
            readers = await opened(server, streams)
            await all_ended(readers, within)
            drop(readers)
            events += sum(reader.count for reader in readers)
            firsts.append(max(reader.first for reader in readers))
    return {
        "events per server CPU-s": events / max(spent.cpu, 0.01),
        "events/s": events / spent.wall,
        "first event, worst, ms": median(firsts) * 1e3,
    }


async def paced(lab: Lab, server: Server, streams: int) -> Figures:
    """Measure a window in the middle of streams that flow at their own pace."""
    gap = server.load.gap_ms / 1000
    async with peak(server) as seen:
        readers = await opened(server, streams, lab.scale.spread)
        await all_begun(readers)
        await asyncio.sleep(lab.scale.settle)
        with Watch(lab, server) as spent:
            for reader in readers:
                reader.arrivals = array("d")
            await asyncio.sleep(lab.scale.seconds)
        arrivals = [reader.arrivals for reader in readers if reader.arrivals is not None]
        if ended := sum(reader.ended.done() for reader in readers):
            lab.notes.append(f"{ended} of {streams} streams had ended before the window did")
        drop(readers)
    events = sum(map(len, arrivals))
    late = sorted(lateness(arrivals, gap))
    if not late:
        raise Unfit("no event came within the window")
    return {
        "share of the ideal rate": events / (streams * spent.wall / gap),
        "late p50, ms": ranked(late, 50) * 1e3,
        "late p99, ms": ranked(late, 99) * 1e3,
        "late max, ms": late[-1] * 1e3,
        "events per server CPU-s": events / max(spent.cpu, 0.01),
        "first event, worst, ms": max(reader.first for reader in readers) * 1e3,
        "peak RSS, MB": seen.most,
    }


def lateness(streams: Iterable["array[float]"], gap: float) -> Iterator[float]:
    """Return the seconds by which each event is later than on the tightest schedule.

    On that schedule, no event of its stream is early.
    """
    for arrivals in streams:
        after = [arrival - index * gap for index, arrival in enumerate(arrivals)]
        best = min(after, default=0.0)
        yield from (moment - best for moment in after)


def ranked(ordered: list[float], percent: int) -> float:
    """Return a quantile by rank, so that the value was measured."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def unread(lab: Lab, server: Server) -> Figures:
    """Measure a client that sends a request and then does not read."""
    async with peak(server) as seen:
        with socket.create_connection((HOST, server.port)) as connection:
            await asyncio.to_thread(connection.sendall, server.request)
            await asyncio.sleep(lab.scale.unread)
            seen.look()
    return {"peak RSS growth, MB": seen.most - seen.before}


async def idle(lab: Lab, server: Server) -> Figures:
    """Measure many streams that have sent a token and wait."""
    streams = open_files(lab)
    before = server.rss()
    readers: list[Reader] = []
    try:
        while len(readers) < streams:
            more = await opened(server, min(250, streams - len(readers)))
            readers += more
            await all_begun(more)
        await asyncio.sleep(lab.scale.settle)
        held = server.rss()
        if lost := sum(reader.ended.done() for reader in readers):
            raise Unfit(f"{lost} of {streams} idle streams ended")
    finally:
        drop(readers)
    return {"RSS, MB": held, "MB per 1000 streams": (held - before) / streams * 1000}


def open_files(lab: Lab) -> int:
    """Return how many idle streams the limit on open files allows."""
    if resource is None:
        return lab.scale.idle
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = max(100, (limit - 200) // 100 * 100)
    if limit == resource.RLIM_INFINITY or room >= lab.scale.idle:
        return lab.scale.idle
    lab.notes.append(
        f"only {room} idle streams: the hard limit on open files is {limit}, raise it with `ulimit "
        "-Hn`"
    )
    return room


async def endless(lab: Lab, server: Server) -> Figures:
    """Measure one endless stream, with the memory at each mark."""
    figures = {}
    [reader] = await opened(server, 1)
    begun = time.perf_counter()
    for mark in lab.scale.marks:
        # A callback for each packet would cost the client more than polling.
        while (  # noqa: ASYNC110
            reader.count < mark
            and not reader.ended.done()
            and time.perf_counter() < begun + lab.scale.endless
        ):
            await asyncio.sleep(0.005)
        if reader.count < mark:
            lab.notes.append(
                f"{reader.count:,} events in {time.perf_counter() - begun:.0f} s, then given up"
            )
            break
        figures[f"RSS, MB, at {mark:,} events"] = server.rss()
    drop([reader])
    return figures


async def start(lab: Lab, server: Server) -> Figures:
    """Measure new processes, one after the other."""
    took, held = [server.started_in], [await resting(server)]
    for _ in range(lab.scale.starts - 1):
        with Server(server.peer, server.load, server.core) as again:
            took.append(again.started_in)
            held.append(await resting(again))
    return {"min, s": min(took), "median, s": median(took), "idle RSS, MB": median(held)}


async def resting(server: Server) -> float:
    await asyncio.sleep(0.5)
    return server.rss()


async def drops(lab: Lab, server: Server, streams: int) -> Figures:
    """Disconnect all clients at once, in the middle of their streams."""
    await asyncio.sleep(0.3)  # the connection of the first answer is closed as well
    before = server.sockets()
    readers = await opened(server, streams, lab.scale.spread)
    await all_begun(readers)
    await asyncio.sleep(lab.scale.settle)
    left = time.perf_counter()
    drop(readers)
    witnesses: dict[str, Callable[[], Awaitable[bool]]] = {
        "sockets closed, s": lambda: closed(server, before)
    }
    if server.peer.name == "fake":
        witnesses["none running, s"] = lambda: none_running(server)
    figures: Figures = {}
    begin, end = (left + moment for moment in lab.scale.after)
    while len(figures) < len(witnesses) and time.perf_counter() < begin:
        for figure, gone in witnesses.items():
            if figure not in figures and await gone():
                figures[figure] = time.perf_counter() - left
        await asyncio.sleep(0.001)
    for figure in witnesses.keys() - figures.keys():
        lab.notes.append(f"{figure.removesuffix(', s')}: not within {lab.scale.after[0]:g} s")
    await asyncio.sleep(begin - time.perf_counter())
    with Watch(lab, server) as spent:
        await asyncio.sleep(end - time.perf_counter())
    return {**figures, "CPU share afterwards": spent.cpu / spent.wall}


async def closed(server: Server, before: int) -> bool:
    return server.sockets() <= before


async def none_running(server: Server) -> bool:
    """Tell whether the fake says that nothing runs."""
    reading, writing = await asyncio.open_connection(HOST, server.port)
    writing.write(f"GET /metrics HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
    page = (await reading.read()).decode()
    writing.close()
    running = [line for line in page.splitlines() if line.startswith("vllm:num_requests_running")]
    if not running:
        raise Unfit("its /metrics lack vllm:num_requests_running")
    return float(running[0].split()[-1]) == 0


@dataclass(frozen=True)
class Row:
    """A load, and the `servers` that play it; by default all."""

    title: str
    load: Callable[[Scale], Load]
    play: Callable[[Lab, Server], Awaitable[Figures]]
    servers: tuple[str, ...] = tuple(PEERS)


def unpaced_row(streams: int) -> Row:
    title = "1 stream, unpaced" if streams == 1 else f"{streams} streams, unpaced"
    return Row(
        title,
        lambda scale: Load(0, scale.events // streams),
        lambda lab, server: unpaced(lab, server, streams),
    )


def paced_row(streams: int, gap_ms: int, *servers: str) -> Row:
    def play(lab: Lab, server: Server) -> Awaitable[Figures]:
        return paced(lab, server, streams)

    return Row(
        f"{streams} × {gap_ms} ms",
        lambda scale: Load(gap_ms, scale.tokens(gap_ms)),
        play,
        servers or tuple(PEERS),
    )


ROWS = {
    "unpaced1": unpaced_row(1),
    "unpaced16": unpaced_row(16),
    "paced200": paced_row(200, 10),
    "paced1000": paced_row(1000, 50),
    "paced1000fast": paced_row(1000, 20, "fake", "raw"),
    "unread": Row("client not reading", lambda scale: Load(0, scale.events), unread),
    "idle": Row("idle streams", lambda scale: Load(0, 1, "stall:after=1"), idle, ("fake",)),
    "endless": Row("endless stream", lambda scale: Load(0, 1, "endless"), endless, ("fake",)),
    "start": Row("cold start", lambda scale: Load(0, 1), start),
    "drop": Row(
        "200 clients dropped",
        lambda scale: Load(10, scale.tokens(10)),
        lambda lab, server: drops(lab, server, 200),
    ),
}


# --- the whole ------------------------------------------------


@dataclass
class Results:
    """Figures by row, figure and server (the medians of all rounds), notes, and missing servers."""

    values: dict[str, dict[str, dict[str, float]]]
    notes: list[str]
    left_out: dict[str, str]


def installed(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the servers that are, or could be, installed; and the others, with reasons."""
    there, left_out = [], {}
    for name in names:
        try:
            PEERS[name].install()
            there.append(name)
        except Unfit as reason:
            left_out[name] = str(reason)
            say(f"{name} is left out: {reason}.")
    return there, left_out


def measure(
    scale: Scale, rows: Iterable[str], servers: list[str], rounds: int, core: int | None
) -> Results:
    plan = [(name, server) for name in rows for server in servers if server in ROWS[name].servers]
    found: dict[tuple[str, str], list[Figures]] = {turn: [] for turn in plan}
    notes: list[str] = []
    begun = time.perf_counter()
    for number in range(rounds):
        for step, (name, server) in enumerate(plan, number * len(plan) + 1):
            say(
                f"[{step}/{len(plan) * rounds}, {time.perf_counter() - begun:.0f} s] {name}: "
                f"{server}"
            )
            lab = Lab(scale, core)
            try:
                found[name, server].append(played(lab, ROWS[name], server))
            except (Unfit, OSError, psutil.Error) as reason:
                lab.notes.append(f"not measured: {reason}")
            notes += [f"{name}, {server}: {note}." for note in lab.notes]
    return Results(arranged(found), notes, {})


def played(lab: Lab, row: Row, name: str) -> Figures:
    with Server(PEERS[name], row.load(lab.scale), lab.core) as server:

        async def play() -> Figures:
            return await row.play(lab, server)

        return uvloop.run(play())


def arranged(found: dict[tuple[str, str], list[Figures]]) -> dict[str, dict[str, dict[str, float]]]:
    values: dict[str, dict[str, dict[str, float]]] = {}
    for (name, server), figures in found.items():
        for figure in dict.fromkeys(label for each in figures for label in each):
            value = median(each[figure] for each in figures if figure in each)
            values.setdefault(name, {}).setdefault(figure, {})[server] = value
    return values


def ratios(figure: str, values: dict[str, float]) -> dict[str, float]:
    """Return how many times as good as the best peer each is.

    Empty: there is no peer.
    """
    least = floor(figure)
    good = {
        name: value if least is None else 1 / max(value, least) for name, value in values.items()
    }
    best = max((value for name, value in good.items() if PEERS[name].is_peer), default=0.0)
    return {name: value / best for name, value in good.items()} if best else {}


def floor(figure: str) -> float | None:
    """Return the least meaningful difference of a figure of which less is better."""
    return LESS.get(figure.partition(", at ")[0])


def table(results: Results, servers: list[str]) -> Table:
    shown = Table("load", "figure", box=box.MARKDOWN)
    for name in servers:
        shown.add_column(name, justify="right")
    for name, figures in results.values.items():
        for index, (figure, values) in enumerate(figures.items()):
            compared = ratios(figure, values)
            cells = [cell(values.get(server), compared.get(server)) for server in servers]
            shown.add_row("" if index else ROWS[name].title, figure, *cells)
    return shown


def cell(value: float | None, ratio: float | None) -> str:
    if value is None:
        return "–"
    return number(value) if ratio is None else f"{number(value)} ({number(ratio)}×)"


def number(value: float) -> str:
    """Return three digits, with k for thousands."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.0f}k"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return (
        f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
        if abs(value) >= 0.1 or not value
        else f"{value:.3f}"
    )


def world(
    scale: Scale, servers: list[str], rounds: int, cores: tuple[int, int] | None
) -> dict[str, str]:
    """Return what the figures depend on."""
    pinned = (
        f"client on core {cores[0]}, servers on core {cores[1]}"
        if cores
        else "no process held on a core"
    )
    about = (
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{psutil.cpu_count()} cores, {pinned}"
    )
    scope = f"windows of {scale.seconds:g} s, {rounds} round{'s' if rounds > 1 else ''}"
    return {"world": f"{about}; {scope}", **{name: PEERS[name].what for name in servers}}


def as_json(results: Results, about: dict[str, str]) -> dict[str, object]:
    rows = [
        {
            "row": name,
            "figure": figure,
            "better": "more" if floor(figure) is None else "less",
            "values": values,
            "ratios to the best peer": ratios(figure, values),
        }
        for name, figures in results.values.items()
        for figure, values in figures.items()
    ]
    return {"about": about, "figures": rows, "notes": results.notes, "left out": results.left_out}


def say(text: str) -> None:
    """Print on stderr, so that stdout can go into a file."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def on_cores() -> Iterator[tuple[int, int] | None]:
    """Hold this process on its first core, and return the second for its servers.

    None: the system does not allow it.
    """
    may = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(may) < 2 or shutil.which("taskset") is None:
        say("Nothing is held on a core: that takes two cores and taskset.")
        yield None
        return
    os.sched_setaffinity(0, {may[0]})
    try:
        yield may[0], may[1]
    finally:
        os.sched_setaffinity(0, may)


def allow_open_files() -> None:
    """Raise the soft limit to the hard one, for this process and its servers."""
    if resource is not None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small loads, a minute; guidellm and paced1000fast only if named",
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument(
        "--servers", nargs="+", choices=list(PEERS), metavar="NAME", help=", ".join(PEERS)
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        help="length of a window (5; quick: 0.6), at least 0.5 and at most 60",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        choices=range(1, 21),
        default=1,
        metavar="N",
        help="medians of so many (1 to 20)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    return parser.parse_args()


def seconds(text: str) -> float:
    value = float(text)
    if not 0.5 <= value <= 60:
        raise argparse.ArgumentTypeError("give a number from 0.5 to 60")
    return value


def stopped(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> None:
    chosen = options()
    scale = QUICK if chosen.quick else FULL
    if chosen.seconds:
        scale = Scale(**{**vars(scale), "seconds": chosen.seconds})
    left = ("guidellm", "paced1000fast") if chosen.quick else ()
    wanted = chosen.servers or [name for name in PEERS if name not in left]
    signal.signal(signal.SIGTERM, stopped)  # so that the servers are stopped then, too
    allow_open_files()
    servers, left_out = installed(name for name in PEERS if name in wanted)
    with on_cores() as cores:
        rows = [name for name in ROWS if (name in chosen.only if chosen.only else name not in left)]
        results = measure(scale, rows, servers, chosen.rounds, cores[1] if cores else None)
    results.left_out = left_out
    about = world(scale, servers, chosen.rounds, cores)
    if chosen.json:
        chosen.json.write_text(
            json.dumps(as_json(results, about), ensure_ascii=False, indent=1) + "\n",
            encoding="utf-8",
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print("\n".join(f"{name}: {text}" for name, text in about.items()), highlight=False)
    console.print(table(results, servers))
    excluded = [f"{name} is left out: {reason}." for name, reason in left_out.items()]
    for note in [*results.notes, *excluded]:
        console.print(f"* {note}", highlight=False, markup=False)


if __name__ == "__main__":
    main()
