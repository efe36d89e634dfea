"""Play one cell of the matrix and judge it, with the fake's ledger as witness."""

import asyncio
import inspect
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx2

from stream_lab.experiment.fake import Fake
from stream_lab.http.client import direct_client
from stream_lab.matrix.callers import Caller
from stream_lab.matrix.calls import QUESTION, Call, text_and_usage
from stream_lab.matrix.cells import Cell, Result
from stream_lab.matrix.servers import SERVERS, Server

T = TypeVar("T")

numbers = itertools.count()
"""Numbers for cells, unique in this process."""
_door = threading.Lock()

GIVE_UP = 0.4
"""Seconds after the last moment that is on time, at which a call counts as endless."""
APART = 0.02
"""Seconds between the beginnings of two cells. A beginning is most of a cell's work, and must not
delay another cell."""
WARM_UP = 30.0  # seconds, for calls that do not count


@dataclass
class _Played:
    """One call that was played; `took` is None if it never ended."""

    cell: Cell
    key: str
    started: float
    took: float | None
    error: BaseException | None
    answer: Any
    left_behind: Sequence[str]


class CellPlayer:
    """A player of cells, with the servers and the settings that they share.

    Args:
        fake: the fake server.
        nowhere: an address where connecting hangs.
        model: a class like `ChatOpenAI`.
        deadline: the deadline of each call, in seconds.
        lateness: seconds a call may be late.
        new_loop: makes the event loops. None: asyncio's own.
        settings: further arguments for the model.
    """

    def __init__(
        self,
        fake: Fake,
        nowhere: str,
        model: Callable[..., Any],
        deadline: float,
        lateness: float,
        new_loop: Callable[[], asyncio.AbstractEventLoop] | None,
        settings: dict[str, Any],
    ) -> None:
        self._fake = fake
        self._nowhere = nowhere
        self._model = model
        self._deadline = deadline
        self._lateness = lateness
        # No cell takes longer. After that time the server ends endless calls, which would otherwise
        # use up the machine.
        self._longest = 5 * deadline + lateness + GIVE_UP
        self._new_loop = new_loop
        self._settings = settings
        # A kept connection could be closed by the server just when it is used again.
        limits = httpx2.Limits(max_keepalive_connections=0)
        # This client only reads a ledger over plain HTTP.
        self._client = direct_client(timeout=10, verify=False, limits=limits)

    def play(self, cell: Cell, key: str) -> Result:
        """Play a cell; `key` marks its requests in the ledger."""
        model = self._make(cell, key)
        if cell.column is None:
            return self._play_caller(cell, model, key)
        try:
            played = (
                self._run(self._watch(cell, cell.column, model, key))
                if cell.is_async
                else self._wait(cell, cell.column, model, key)
            )
        except Exception as error:  # an error of the call itself is in `played`
            return Result(cell, f"the answer before it failed: {error!r}")
        return self._judged(played)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            return runner.run(work)

    def warm_up(self, cell: Cell) -> None:
        """Make the call of a cell once, without a judgement."""
        assert isinstance(cell.row, Server)
        assert cell.column is not None
        call = cell.column
        model = self._make(
            Cell(replace(SERVERS[0], asks=cell.row.asks), call),
            f"warm-up{next(numbers)}",
            timeout=WARM_UP,
        )
        with suppress(Exception):  # a broken class fails in its cells, too
            if call.is_async:
                self._run(call.run(model))
            else:
                call.run(model)

    async def _ready_async(self, cell: Cell, model: Any, key: str) -> None:
        if cell.row.pooled:
            await model.ainvoke(QUESTION, **_first(key))
        _take_turn()

    def _ready(self, cell: Cell, model: Any, key: str) -> None:
        """Let the model open a connection, if the cell is about a pooled one."""
        if cell.row.pooled:
            model.invoke(QUESTION, **_first(key))
        _take_turn()

    def _make(self, cell: Cell, key: str, timeout: float | None = None) -> Any:
        row = cell.row
        own: dict[str, Any] = {}
        timeout = timeout or self._deadline
        scenario = (row.scenario or "finite").format(key=key, step=self._deadline * 50)
        if isinstance(row, Server):
            own = {name: share * self._deadline for name, share in row.parts.items()}
            own |= {"model_kwargs": dict(row.asks)} if row.asks else {}
            if cell.bound in row.parts:
                timeout *= 2  # far enough away to tell which of the two acted
        return self._model(
            model=self._fake.model,
            # Models with the same address share HTTP clients, and a cell must fail for its own
            # reasons only. The fragment makes another address, and is not sent.
            base_url=f"{self._nowhere if row.scenario is None else self._fake.base_url}#{key}",
            api_key="none",
            timeout=timeout,
            stream_usage=True,
            extra_body={"fake_scenario": f"{scenario}+time_limit:seconds={self._longest:g}"},
            default_headers={"x-request-id": key},
            **own,
            **self._settings,
        )

    async def _watch(self, cell: Cell, call: Call, model: Any, key: str) -> _Played:
        await self._ready_async(cell, model, key)
        started = time.monotonic()
        task = asyncio.create_task(call.run(model))
        await asyncio.wait({task}, timeout=self._give_up(cell))
        took = time.monotonic() - started if task.done() else None
        if took is not None:
            await asyncio.sleep(self._lateness / 5)
        others = [
            each.get_name()
            for each in asyncio.all_tasks() - {asyncio.current_task()}
            if not each.done() and each is not task
        ]
        if took is None:
            task.cancel()
            await asyncio.wait({task}, timeout=1)
            return _Played(cell, key, started, None, None, None, [])
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        return _Played(cell, key, started, took, error, None if error else task.result(), others)

    def _wait(self, cell: Cell, call: Call, model: Any, key: str) -> _Played:
        self._ready(cell, model, key)
        started = time.monotonic()
        ended: list[tuple[float, BaseException | None, Any]] = []

        def work() -> None:
            try:
                result = call.run(model)
            except BaseException as error:
                ended.append((time.monotonic(), error, None))
            else:
                ended.append((time.monotonic(), None, result))

        # An endless call keeps its thread until the server ends it; nothing else can.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self._give_up(cell))
        if not ended:
            return _Played(cell, key, started, None, None, None, [])
        at, error, result = ended[0]
        return _Played(cell, key, started, at - started, error, result, [])

    def _give_up(self, cell: Cell) -> float:
        return cell.due(self._deadline) + self._lateness + GIVE_UP

    def _judged(self, played: _Played) -> Result:
        cell = played.cell
        due = cell.due(self._deadline)
        assert isinstance(cell.row, Server)
        assert cell.column is not None
        if played.took is None:
            return Result(cell, "it did not end")
        late = played.took - due
        if isinstance(played.error, AssertionError):
            return Result(cell, str(played.error) or repr(played.error))
        faults = list(self._faults(played))
        if cell.row.scenario is not None:
            generations = cell.row.generations * cell.column.generations
            faults += self._witnessed(cell, played.key, generations, played.started + due)
        faults += [f"left behind: {name}" for name in played.left_behind]
        return Result(
            cell, "; ".join(faults), late if isinstance(played.error, TimeoutError) else None
        )

    def _faults(self, played: _Played) -> Iterator[str]:
        cell, error = played.cell, played.error
        assert played.took is not None
        late = played.took - cell.due(self._deadline)
        if cell.ends == "answer":
            if error is not None:
                yield f"no answer but {type(error).__name__}"
            elif cell.column is not None and cell.column.tells:
                text, usage = text_and_usage(played.answer)
                if len(text.split()) < 8:  # ten tokens; the last may be part of a word
                    yield f"the answer is not whole: {text!r}"
                if not usage:
                    yield "the usage is missing"
            return
        if error is None:
            yield "it ended as if nothing had happened"
        elif cell.ends == "deadline":
            if not isinstance(error, TimeoutError):
                yield f"not a TimeoutError but {type(error).__name__}"
            if late < 0:
                yield f"{-late:.3f} s early"
            if (bound := getattr(error, "bound", cell.bound)) != cell.bound:
                yield f"ended by {bound}, not by {cell.bound}"
        if late > self._lateness:
            yield f"{late:.2f} s late"

    def _witnessed(self, cell: Cell, key: str, generations: int, by: float) -> Iterator[str]:
        """Yield the faults that the server's ledger shows."""
        entries = self._ledger(key)
        while (
            any(entry["end"] == "running" for entry in entries)
            and time.monotonic() < by + self._lateness
        ):
            time.sleep(0.03)
            entries = self._ledger(key)
        started = [entry for entry in entries if entry["started"] is not None]
        if len(started) != generations:
            yield f"{len(started)} generations started"
        turns = [entry["turn"] for entry in entries]
        if cell.row.pooled and max(turns, default=1) == 1:
            yield "no connection was used again"
        if not cell.row.pooled and turns and turns[0] != 1:
            yield "a connection of other calls was used"
        for entry in entries:
            gone = entry["client_left"] or (
                None if entry["end"] == "running" else entry["slot_freed"] or by
            )
            if gone is None:
                yield "the server is still held"
            elif gone > by + self._lateness:
                yield f"the server was held for {gone - by:.2f} s more"

    def _ledger(self, key: str) -> list[dict[str, Any]]:
        page = self._client.get(
            self._fake.base_url.removesuffix("/v1") + "/ledger", params={"id": f"-{key}"}
        )
        entries: list[dict[str, Any]] = page.json()["requests"]
        return entries

    def _play_caller(self, cell: Cell, model: Any, key: str) -> Result:
        assert isinstance(cell.row, Caller)
        run, deadline = cell.row.run, self._deadline
        left_behind: list[str] = []

        async def watch() -> float:
            await self._ready_async(cell, model, key)
            async with asyncio.timeout(self._longest):
                by: float = await run(model, deadline)
            await asyncio.sleep(self._lateness / 5)
            here = asyncio.current_task()
            left_behind.extend(
                each.get_name()
                for each in asyncio.all_tasks()
                if each is not here and not each.done()
            )
            return by

        try:
            if inspect.iscoroutinefunction(run):
                by = self._run(watch())
            else:
                self._ready(cell, model, key)
                by = run(model, deadline)
        except asyncio.CancelledError:
            return Result(cell, "a stray cancellation reached the caller")
        except Exception as error:
            return Result(
                cell,
                str(error)
                if isinstance(error, AssertionError)
                else f"{type(error).__name__}: {error}",
            )
        faults = [
            *self._witnessed(cell, key, cell.row.generations, by),
            *(f"left behind: {name}" for name in left_behind),
        ]
        return Result(cell, "; ".join(faults))


def _first(key: str) -> dict[str, Any]:
    """Return the arguments of a short call before the call that counts."""
    return {
        "extra_body": {"fake_scenario": "finite:tokens=1"},
        "extra_headers": {"x-request-id": f"{key}-first"},
        "timeout": WARM_UP,
    }


def _take_turn() -> None:
    """Wait until this cell may begin."""
    with _door:
        time.sleep(APART)
