"""Each fault of the drills with one style of call, and some planted defects."""

import ast
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.drills.judge import expected, whys
from tests.drills.page import PAGE, RESULTS, ROOT, filled, rendered
from tests.drills.plants import PLANTS
from tests.drills.play import Cell, Outcome
from tests.drills.play_program import Ending, Program, whys_of
from tests.drills.program_table import PROGRAM_DRILLS
from tests.drills.run import (
    JOBS,
    STILL,
    Drilled,
    Result,
    cells,
    name_of,
    once,
    planted,
    programs,
    run,
)
from tests.drills.styles import STYLES
from tests.drills.table import DRILLS, LATE, WHOLE

PLAYED_PROGRAMS = [
    "leaves_a_stream", "leaves_bounded_sync_around_no_connection", "leaves_an_asynchronous_chain",
    "leaves_a_daemon_thread", "begins_a_call_at_exit", "interrupts_invoke", "interrupts_bounded",
    "forks_after_use", "forks_in_mid_stream_and_the_child_closes_it", "forks_in_an_event_loop",
    "threads_share_a_model", "threads_drop_a_stream",
]  # fmt: skip
"""One or two of each kind, those that failed earlier among them; `make drills` plays the others."""
SHOWN = [
    "The server is killed, before the headers: invoke, new",
    "The server is killed, in mid-stream: chain, pooled",
    "The server is stopped, before the first token: astream, pooled",
    "The consumer blocks its thread for 2.5 s, in mid-stream: chain, pooled",
    "Garbage is never collected, in mid-stream: chain, pooled",
    "A fork: forks_after_use",
]
"""Drills that are played with their defect here."""


def sample() -> list[Drilled]:
    """Return one cell of each drill, each style in turn, and some programs."""
    chosen: list[Drilled] = []
    for number, drill in enumerate(DRILLS):
        style = drill.styles[number % len(drill.styles)]
        chosen.append(Cell(drill, style, drill.kinds[number % len(drill.kinds)]))
    # asyncio's transports told of the one below: a cancelled handshake left its socket open.
    chosen += cells(only=["stopped, in the TLS handshake: astream"])
    chosen += [program for program in PROGRAM_DRILLS if program.name in PLAYED_PROGRAMS]
    return list({name_of(drill): drill for drill in chosen}.values())


SAMPLE = {name_of(drill): drill for drill in sample()}
EVERY: list[Drilled] = [*cells(), *programs()]
RED = {
    name_of(drill): (drill, pair[1])
    for drill in EVERY
    if name_of(drill) in SHOWN and (pair := planted(drill)) is not None
}


@pytest.fixture(scope="module")
def results() -> Mapping[str, Result[Drilled]]:
    return {name_of(result.drill): result for result in run(SAMPLE.values())}


@pytest.fixture(scope="module")
def reasons() -> Mapping[str, list[str]]:
    """Why each drill of `SHOWN` does not hold while its defect is planted."""
    with ThreadPoolExecutor(JOBS) as pool:
        played = pool.map(lambda pair: once(*pair).why, RED.values())
        return dict(zip(RED, played, strict=True))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", SAMPLE)
def test_a_fault_ends_a_call_as_the_table_says(
    name: str, results: Mapping[str, Result[Drilled]]
) -> None:
    result = results[name]
    if result.mark == STILL:
        pytest.skip(f"the machine stood still for {result.outcome.machine:.2f} s: {result.why}")
    assert not result.why, f"the first time: {result.first}"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", SHOWN)
def test_a_drill_fails_while_its_defect_is_planted(
    name: str, reasons: Mapping[str, list[str]]
) -> None:
    assert reasons[name]


def test_the_sample_has_every_fault_every_style_and_both_kinds_of_connection() -> None:
    played = [drill for drill in SAMPLE.values() if isinstance(drill, Cell)]
    assert {cell.drill.name for cell in played} == {drill.name for drill in DRILLS}
    assert {cell.style for cell in played} == set(STYLES)
    assert {cell.kind for cell in played} == {"new", "pooled"}
    assert len([drill for drill in SAMPLE.values() if isinstance(drill, Program)]) == len(
        PLAYED_PROGRAMS
    )


def test_each_drill_has_a_defect_that_it_is_played_with() -> None:
    shown = [pair for drill in EVERY if (pair := planted(drill)) is not None]
    names = {pair[0].drill.name if isinstance(pair[0], Cell) else pair[0].name for pair in shown}
    assert names == {drill.name for drill in DRILLS} | {each.name for each in PROGRAM_DRILLS}
    assert {plant for _, plant in shown} <= set(PLANTS)


def cell(gets: str) -> Cell:
    """The first cell of the table whose caller gets this."""
    return next(each for each in cells() if expected(each) == gets and each.drill.starts == 1)


def late(**changes: Any) -> Outcome:
    """What comes of a call that ends at its deadline, with some changes."""
    limit = cell(LATE).drill.limit
    usual = {"error": "StreamDeadlineExceeded", "took": limit + 0.01, "freed": 0.0, "held": limit}
    return Outcome(**{**usual, "starts": 1, "status": 0, **changes})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"error": "openai.APIConnectionError"}, "the caller gets openai.APIConnectionError"),
        ({"error": ""}, "the caller gets no error"),
        ({"after": 2}, "2 pieces came after the deadline"),
        ({"took": 3.0}, "the call ended 1.50 s late"),
        ({"took": 1.0}, "the call ended 0.50 s before its deadline"),
        ({"freed": 2.0}, "the server was free 2.00 s later"),
        ({"freed": None}, "the server was not free"),
        ({"starts": 2}, "the server saw 2 requests"),
        ({"left": {"tasks": 1}}, "left: {'tasks': 1}"),
        ({"next": "httpx.ReadError"}, "the next call fails with httpx.ReadError"),
        ({"status": 1}, "the client's process ends with 1"),
        ({"noise": "ResourceWarning"}, "it wrote 'ResourceWarning'"),
        ({"stuck": "ended"}, "the call did not end"),
        ({"stuck": "third"}, "no 'third' came"),
    ],
)
def test_each_condition_of_a_cell_is_judged(changes: dict[str, Any], why: str) -> None:
    found = whys(cell(LATE), late(**changes))
    assert len(found) == bool(why)
    assert why in "".join(found)


def test_an_answer_in_place_of_an_error_is_judged_too() -> None:
    whole = cell(WHOLE)
    assert whys(whole, Outcome(took=0.2, freed=0.0, held=0.2, starts=1, status=0)) == []
    failed = Outcome(error="AnswerCutShort", took=0.2, freed=0.0, starts=1, status=0)
    assert whys(whole, failed) == ["the caller gets AnswerCutShort, not the answer"]


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        (Ending(0, "ok", 0.3, 0.0), ""),
        (Ending(None, "ok", 1.0, 0.0), "the interpreter did not end"),
        (Ending(1, "ok", 0.3, 0.0), "it ended with status 1"),
        (Ending(0, "Exception ignored in", 0.3, 0.0), "it said 'Exception ignored in'"),
        (Ending(0, "ok", 9.0, 0.0), "it took 9.00 s to end"),
        (Ending(0, "ok", 0.3, None), "the server was not free"),
    ],
)
def test_each_condition_of_a_program_is_judged(ending: Ending, why: str) -> None:
    found = whys_of(PROGRAM_DRILLS[0], ending)
    assert len(found) == bool(why)
    assert why in "".join(found)


def test_the_page_has_the_results_of_the_last_run() -> None:
    page = PAGE.read_text(encoding="utf-8")
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert page == filled(page, rendered(kept)), "run make drills"


def test_the_last_run_played_the_whole_table_and_everything_held() -> None:
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert [(row["fault"], row["moment"]) for row in kept["drills"]] == [
        (drill.fault, drill.moment) for drill in DRILLS
    ], "run make drills"
    assert len(kept["programs"]) == len(PROGRAM_DRILLS)
    rows = [*kept["drills"], *kept["programs"]]
    assert [row for row in rows if row["hold"] != row["cells"] or row["seen"] is None] == []


def test_the_library_reads_the_wall_clock_only_for_a_retry_after_that_is_a_date() -> None:
    reads = {
        path.name
        for path in (ROOT / "src/stream_deadline").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and (
            ast.unparse(node) in ("time.time", "time.time_ns")
            or node.attr in ("now", "utcnow", "today")
        )
        and not ast.unparse(node).startswith("self.")
    }
    assert reads == {"_pauses.py"}
