"""Play the cells of one setting, and print a line for each.

All players share this module. A player runs in the environment of its framework, as `python PLAYER
JSON`. It calls `play` with a function that prepares a cell: that makes a client, and returns what
asks one question with it.

    def prepare(cell: Cell) -> Ask:
        client = cell.bounded(OpenAI(base_url=cell.base_url, api_key=KEY, timeout=cell.natural()))
        return lambda: client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)

    play(prepare)

What asks may return an iterator, an asynchronous iterator, or something to await. Anything else is
a whole answer.
"""

import asyncio
import inspect
import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

MODEL, KEY, QUESTION = "fake-model", "none", "Why?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
LINE = "@cell "
"""Begins each line that is meant for the laboratory."""
LONG = 60.0
"""Seconds of a framework's own time-out where another bound is under test."""
SUSPENDED = "suspended"
"""The scenario whose consumer takes a chunk and then does not pull."""
WARM_WITHIN = 60.0  # seconds
TRIES = 3
"""Warm-up calls, since the first one of a client may take longer than its time-out."""

Ask = Callable[[], Any]


@dataclass(frozen=True)
class Cell:
    """One server behaviour under one setting.

    Attributes:
        setting: the name of the setting in the registry.
        scenario: the name of the behaviour.
        plays: the behaviour in the server's own words.
        root: the address of the cell's own server.
        timeout: the seconds after which the call should end.
    """

    setting: str
    scenario: str
    plays: str
    root: str
    timeout: float

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    def natural(self, setting: str = "timeout") -> float:
        """Return the framework's own time-out: short if that setting is under test."""
        return self.timeout if self.setting == setting else LONG

    def bounded(self, client: Any) -> Any:
        """Return a client of httpx or an SDK, bounded if that is the setting."""
        if not (self.setting == "bounded_client" or self.has_budget):
            return client
        from stream_deadline import bounded_client

        return bounded_client(client, self.timeout if self.setting == "bounded_client" else None)

    @property
    def has_budget(self) -> bool:
        """Whether the caller holds a `deadline` around its call."""
        return self.setting.startswith("deadline")

    def budget(self) -> Any:
        """Return what the caller holds around its call: a context manager of both kinds."""
        if not self.has_budget:
            return nullcontext()
        from stream_deadline import deadline

        return deadline(self.timeout, cancel=self.setting == "deadline-cancel")


@dataclass
class Note:
    """What happened in a cell; times are those of `time.monotonic()`.

    Attributes:
        left: when the player ended, which frees the server too.
    """

    cell: Cell
    started: float | None = None
    ended: float | None = None
    chain: list[str] = field(default_factory=list)
    ours: bool = False
    chunks: int = 0
    unplayed: str = ""
    left: float | None = None

    def line(self) -> bytes:
        said = {**vars(self), "cell": None, "scenario": self.cell.scenario}
        return f"\n{LINE}{json.dumps(said)}\n".encode()


def play(
    prepare: Callable[[Cell], Any], before: Callable[[list[Cell]], None] | None = None
) -> None:
    """Play the cells that the command line names, side by side, and end the process.

    Args:
        prepare: makes a client for a cell, and returns what asks a question with it.
        before: called once with all cells, for instance to start a proxy.
    """
    given = json.loads(sys.argv[1])
    cells = [Cell(**each) for each in given["cells"]]
    if before is not None:
        before(cells)
    for note in watch(prepare, cells, given["watch"], given["pause"]):
        os.write(1, note.line())
    os._exit(0)  # a call that never ends keeps its thread


def watch(
    prepare: Callable[[Cell], Any], cells: list[Cell], length: float, pause: float
) -> list[Note]:
    """Play cells side by side, each in a thread, and return their notes.

    Args:
        prepare: as for `play`.
        cells: the cells.
        length: the seconds after which a call counts as running for ever.
        pause: the seconds for which a suspended consumer does not pull.
    """
    notes = [Note(cell) for cell in cells]
    start, turn = threading.Event(), threading.Lock()
    warm = [threading.Event() for _ in cells]
    run = _run_async if inspect.iscoroutinefunction(prepare) else _run
    for note, event in zip(notes, warm, strict=True):
        threading.Thread(
            target=_guarded, args=(run, prepare, note, turn, event, start, pause), daemon=True
        ).start()
    late = time.monotonic() + WARM_WITHIN
    for note, event in zip(notes, warm, strict=True):
        if not event.wait(max(0.0, late - time.monotonic())):
            note.unplayed = f"no warm-up ended within {WARM_WITHIN:g} s"
    start.set()
    end = time.monotonic() + length
    while time.monotonic() < end:
        time.sleep(0.1)
        if all(note.unplayed or (note.ended and _is_free(note.cell)) for note in notes):
            break
    left = time.monotonic()
    for note in notes:
        note.left = left
    return notes


def _guarded(run: Callable[..., None], prepare: Any, note: Note, *rest: Any) -> None:
    warm: threading.Event = rest[1]
    try:
        run(prepare, note, *rest)
    except BaseException as error:
        if note.started is None:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            note.unplayed = note.unplayed or said[:200]
        else:
            note.ended = time.monotonic()
            note.chain, note.ours = _chain(error)
    finally:
        warm.set()


def _run(
    prepare: Callable[[Cell], Ask],
    note: Note,
    turn: threading.Lock,
    warm: threading.Event,
    start: threading.Event,
    pause: float,
) -> None:
    def consume(ask: Ask, note: Note, pause: float) -> None:
        answer = ask()
        if isinstance(answer, Iterator):
            for _ in answer:
                note.chunks += 1
                if note.chunks == 1 and pause:
                    time.sleep(pause)

    with turn:
        ask = prepare(note.cell)
        for left in reversed(range(TRIES)):
            try:
                consume(ask, Note(note.cell), 0.0)
                break
            except Exception:
                if not left:
                    raise
        _arm(note.cell)
    warm.set()
    start.wait()
    note.started = time.monotonic()
    with note.cell.budget():
        consume(ask, note, pause if note.cell.scenario == SUSPENDED else 0.0)
    note.ended = time.monotonic()


def _run_async(
    prepare: Callable[[Cell], Any],
    note: Note,
    turn: threading.Lock,
    warm: threading.Event,
    start: threading.Event,
    pause: float,
) -> None:
    async def consume(ask: Ask, note: Note, pause: float) -> None:
        answer = ask()
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, AsyncIterable):
            async for _ in answer:
                note.chunks += 1
                if note.chunks == 1 and pause:
                    await asyncio.sleep(pause)

    async def main() -> None:
        with turn:
            ask = await prepare(note.cell)
            for left in reversed(range(TRIES)):
                try:
                    await consume(ask, Note(note.cell), 0.0)
                    break
                except Exception:
                    if not left:
                        raise
            _arm(note.cell)
        warm.set()
        start.wait()
        note.started = time.monotonic()
        try:
            async with note.cell.budget():
                await consume(ask, note, pause if note.cell.scenario == SUSPENDED else 0.0)
        except BaseException as error:
            note.chain, note.ours = _chain(error)
        note.ended = time.monotonic()
        # The loop goes on, as a service's does: clean-up that the framework left to it may run.
        await asyncio.sleep(LONG)

    asyncio.run(main())


def _chain(error: BaseException) -> tuple[list[str], bool]:
    """Return the classes of an error and its causes, and whether ours is among them."""
    ours = getattr(sys.modules.get("stream_deadline"), "StreamDeadlineExceeded", ())
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop(0)
        if each in found:
            continue
        found.append(each)
        waiting += [
            cause
            for cause in (each.__cause__, each.__context__, *getattr(each, "exceptions", ()))
            if isinstance(cause, BaseException)
        ]
    return [type(each).__name__ for each in found], any(isinstance(each, ours) for each in found)


def _arm(cell: Cell) -> None:
    """Let the cell's server forget the warm-up, and misbehave from now on."""
    _ask(cell, "/ledger", "DELETE")
    _ask(cell, "/scenario", "PUT", cell.plays.encode())


def _is_free(cell: Cell) -> bool:
    with suppress(OSError):
        requests = _ask(cell, "/ledger")["requests"]
        return all((each["slot_freed"] or each["over"]) is not None for each in requests)
    return False


def _ask(cell: Cell, path: str, method: str = "GET", body: bytes | None = None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(
        cell.root + path, body, {"content-type": "text/plain"}, method=method
    )
    with opener.open(request, timeout=10) as answer:
        return json.load(answer)
