"""Play many cells of the matrix, several at a time."""

import asyncio
import gc
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from typing import Any

from langchain_core._api import LangChainDeprecationWarning

from stream_lab.experiment.fake import Fake
from stream_lab.http.certificates import one_certificate
from stream_lab.http.client import reach_this_machine_directly
from stream_lab.matrix.cell_player import CellPlayer, numbers
from stream_lab.matrix.cells import Cell, Result, cells
from stream_lab.matrix.servers import GAP, Server, hanging_port

DEADLINE = 0.5
LATENESS = 0.25
"""Seconds a call may be late, with many cells on a small machine; 0.05 on a quiet one."""
JOBS = 6


def play(
    model: Callable[..., Any],
    chosen: Sequence[Cell] | None = None,
    *,
    jobs: int = JOBS,
    lateness: float = LATENESS,
    deadline: float = DEADLINE,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    fake: Fake | None = None,
    **settings: Any,
) -> Iterator[Result]:
    """Play cells, several at a time, and yield their results as they arrive.

    Args:
        model: a class like `ChatOpenAI`; each cell makes an instance with `timeout=deadline`.
        chosen: the cells to play. None: all of them. Cells about parameters that the class does not
            have are left out.
        jobs: how many cells to play at a time.
        lateness: seconds a call may be late, and the server may be held after the deadline.
        deadline: the deadline of each call, in seconds.
        new_loop: makes the event loops, for example `uvloop.new_event_loop`. None: asyncio's own.
        fake: the fake server to use. None: start one.
        settings: further arguments for the model and, where they start with `fake_`, for the fake.
    """
    flags = {
        name.removeprefix("fake_"): settings.pop(name)
        for name in list(settings)
        if name.startswith("fake_")
    }
    # asyncio reports at length what a broken class leaves to the garbage collector; the cells show
    # it already.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore", LangChainDeprecationWarning)  # of astream_log
    reach_this_machine_directly()
    chosen = [cell for cell in chosen or cells() if cell.is_for(model)]
    with (
        one_certificate(),
        Fake("endless", gap=GAP, **flags) if fake is None else nullcontext(fake) as there,
        hanging_port() as nowhere,
        ThreadPoolExecutor(jobs) as pool,
    ):
        player = CellPlayer(there, nowhere, model, deadline, lateness, new_loop, settings)
        # The first call of each kind imports and compiles, which should not count as lateness.
        kinds = {
            (cell.column.name, str(cell.row.asks)): cell
            for cell in chosen
            if cell.column and isinstance(cell.row, Server)
        }
        list(pool.map(player.warm_up, kinds.values()))
        frozen = gc.get_freeze_count() > 0  # by the caller, whose business it stays
        if not frozen:
            gc.freeze()  # collecting all of that would take up to 0.3 s, and make cells late
        longest_first = sorted(chosen, key=lambda cell: cell.column is not None)
        waiting = [pool.submit(player.play, cell, f"cell{next(numbers)}") for cell in longest_first]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if not frozen:
                gc.unfreeze()


def side_by_side(
    models: Sequence[Callable[..., Any]], chosen: Sequence[Cell], **settings: Any
) -> dict[str, list[Result]]:
    """Play the same cells for several classes at once.

    The last class is the one that matters, so it is played alone after the others, which then
    cannot make it late.

    Args:
        models: the classes.
        chosen: the cells.
        settings: further arguments of `play`; `jobs` counts for each class.

    Returns:
        The results by the name of the class, in the order of the cells.
    """
    with (
        leftovers_unheard(),
        Fake("endless", gap=GAP) as fake,
        ThreadPoolExecutor(len(models)) as pool,
    ):

        def one(model: Callable[..., Any]) -> list[Result]:
            return sorted(
                play(model, chosen, fake=fake, **settings),
                key=lambda result: chosen.index(result.cell),
            )

        results = [*pool.map(one, models[:-1]), one(models[-1])]
    return {model.__name__: each for model, each in zip(models, results, strict=True)}


@contextmanager
def leftovers_unheard() -> Iterator[None]:
    """Silence the reports of what broken classes leave to the garbage collector.

    Their cells show it already.
    """
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = before
