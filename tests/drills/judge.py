"""Judge what came of a drill."""

from collections.abc import Iterator

from tests.drills.play import Cell, Outcome
from tests.drills.styles import STYLES
from tests.drills.table import LATE, WHOLE
from tests.plain_sleep import STOOD_STILL

LATENESS = 0.3
"""Seconds that a call may be late on a machine that is not; the table has typical figures."""
FREED = 0.5
"""Seconds after the end of call and fault within which the server is free."""
EARLY = 0.01
OWN_ERROR = {
    "stream": "StreamDeadlineExceeded",
    "whole": "StreamDeadlineExceeded",
    "bare": "StreamDeadlineExceeded",
    "http": "deadline_exceeded",
}


def expected(cell: Cell) -> str:
    """Return the error that the table says, `LATE` or `WHOLE`."""
    gets = cell.drill.gets
    return gets.get(cell.style) or gets.get(STYLES[cell.style].group) or gets["*"]


def whys(cell: Cell, outcome: Outcome) -> list[str]:
    """Return why a cell does not hold; empty: it holds."""
    return [*_of_the_call(cell, outcome), *_of_the_rest(cell, outcome), *of_time(cell, outcome)]


def of_time(cell: Cell, outcome: Outcome) -> list[str]:
    """Return the reasons that a busy machine may have given, too."""
    return list(_of_time(cell, outcome))


def stood_still(cell: Cell, outcome: Outcome) -> bool:
    """Return whether only time is wrong, and a plain sleep was late as well."""
    return outcome.machine > STOOD_STILL and whys(cell, outcome) == of_time(cell, outcome)


def _of_the_call(cell: Cell, outcome: Outcome) -> Iterator[str]:
    if outcome.stuck:
        what = "the call did not end" if outcome.stuck == "ended" else f"no {outcome.stuck!r} came"
        yield what + (f"; {outcome.noise[-500:]!r}" if outcome.noise else "")
        return
    wanted = expected(cell)
    got = _shown(outcome)
    if wanted == LATE:
        wanted = OWN_ERROR[STYLES[cell.style].group]
    if wanted == WHOLE:
        if outcome.error:
            yield f"the caller gets {got}, not the answer"
    elif wanted not in got:
        yield f"the caller gets {got}, not {wanted}"
    if outcome.after:
        yield f"{outcome.after} pieces came after the deadline"


def _shown(outcome: Outcome) -> str:
    if outcome.error == "Answered":
        return outcome.message
    return outcome.error or "no error"


def _of_the_rest(cell: Cell, outcome: Outcome) -> Iterator[str]:
    if outcome.stuck:
        return
    if outcome.left:
        yield f"left: {outcome.left}"
    if outcome.next and cell.drill.recovers:
        yield f"the next call fails with {outcome.next}"
    if outcome.status != 0:
        yield f"the client's process ends with {outcome.status}"
    known = cell.style in cell.drill.noisy and "ResourceWarning: unclosed" in outcome.noise
    if outcome.noise and not known:
        yield f"it wrote {outcome.noise[-300:]!r}"
    starts = cell.drill.starts
    if starts is not None and outcome.starts != starts:
        yield f"the server saw {outcome.starts} requests of the call, not {starts}"
    if starts and outcome.freed is None:
        yield "the server was not free after ten seconds"


def _of_time(cell: Cell, outcome: Outcome) -> Iterator[str]:
    if outcome.stuck:
        return
    drill = cell.drill
    late = outcome.took - drill.limit
    if expected(cell) == LATE:
        if late < -EARLY:
            yield f"the call ended {-late:.2f} s before its deadline"
        if late > drill.lateness + LATENESS:
            yield f"the call ended {late:.2f} s late"
    elif late > LATENESS:
        yield f"the call ended {late:.2f} s after its deadline"
    if drill.act is None and outcome.held is not None and outcome.held > drill.limit + FREED:
        yield f"the server was held for {outcome.held:.2f} s"
    if outcome.freed is not None and outcome.freed > FREED:
        yield f"the server was free {outcome.freed:.2f} s later"
