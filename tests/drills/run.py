"""Play drills side by side, and those that do not hold once more by themselves."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.drills.judge import stood_still, whys
from tests.drills.play import Cell, Outcome, play
from tests.drills.play_program import Ending, Program, play_program, was_still, whys_of
from tests.drills.program_table import PROGRAM_DRILLS
from tests.drills.table import DRILLS

D = TypeVar("D")
Drilled = Cell | Program

JOBS = 6
HOLDS, STILL, FAILS = "holds", "the machine stood still", "does not hold"


@dataclass(frozen=True)
class Result(Generic[D]):
    """What came of a drill.

    Attributes:
        drill: a cell or a program.
        outcome: of the last time that it was played.
        why: the reasons why it does not hold; empty: it holds.
        mark: `HOLDS`, `STILL` or `FAILS`.
        first: the reasons of the first time, if it was played twice.
    """

    drill: D
    outcome: Outcome | Ending
    why: list[str]
    mark: str
    first: list[str]


def name_of(drill: Drilled) -> str:
    return drill.name if isinstance(drill, Cell) else f"{drill.fault}: {drill.name}"


def cells(*, only: Iterable[str] = ()) -> Iterator[Cell]:
    """Yield all cells whose names have all words."""
    for drill in DRILLS:
        for style in drill.styles:
            for kind in drill.kinds:
                cell = Cell(drill, style, kind)
                if all(word in cell.name for word in only):
                    yield cell


def programs(*, only: Iterable[str] = ()) -> Iterator[Program]:
    """Yield all programs whose names have all words."""
    for program in PROGRAM_DRILLS:
        if all(word in f"{program.fault}: {program.name}" for word in only):
            yield program


def once(drill: Drilled, plant: str = "") -> Result[Drilled]:
    """Play a drill once, with a defect planted in the library if one is named."""
    outcome: Outcome | Ending
    if isinstance(drill, Cell):
        outcome = play(drill, plant or None)
        why, still = whys(drill, outcome), stood_still(drill, outcome)
    else:
        outcome = play_program(drill, plant)
        why, still = whys_of(drill, outcome), was_still(drill, outcome)
    return Result(drill, outcome, why, HOLDS if not why else STILL if still else FAILS, [])


def run(
    drills: Iterable[Drilled],
    note: Callable[[Result[Drilled]], None] = lambda result: None,
    jobs: int = JOBS,
) -> list[Result[Drilled]]:
    """Play drills, in their order.

    Whatever does not hold is played once more when nothing else runs, since a busy machine delays a
    call that has to compute before its request, and a plain sleep does not show that.

    Args:
        drills: what to play.
        note: called with each result.
        jobs: how many at a time.
    """
    results = []
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(once, drills):
            results.append(result)
            note(result)
    for number, result in enumerate(results):
        if result.mark != HOLDS:
            again = once(result.drill)
            results[number] = Result(again.drill, again.outcome, again.why, again.mark, result.why)
            note(results[number])
    return results


def planted(drill: Drilled) -> tuple[Drilled, str] | None:
    """Return a drill with the defect that it shows; None: another cell of it does."""
    if isinstance(drill, Program):
        return drill, drill.plant
    if drill.style != drill.drill.planted or drill.kind != drill.drill.kinds[-1]:
        return None
    return drill, drill.drill.plant


def show_red(
    chosen: Iterable[tuple[Drilled, str]], jobs: int = JOBS
) -> Iterator[tuple[tuple[Drilled, str], list[str]]]:
    """Play drills with their defects, and yield why each does not hold.

    No reason means that the drill does not show its defect.
    """

    def play_one(pair: tuple[Drilled, str]) -> list[str]:
        return once(*pair).why

    chosen = list(chosen)
    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(chosen, pool.map(play_one, chosen), strict=True)
