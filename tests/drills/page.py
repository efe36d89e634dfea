"""Write the results of the drills, and the tables of docs/drills.md that show them."""

import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_lab.frameworks.report import markdown
from tests.drills.judge import expected
from tests.drills.play import Cell, Outcome
from tests.drills.play_program import Ending
from tests.drills.run import FAILS, HOLDS, Result
from tests.drills.table import LATE, Drill

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "evidence/drills/results.json", ROOT / "docs/drills.md"
PLACE = re.compile(r"(?:/[\w.-]+)+/")
"""The folder of a file, which is this machine's."""
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def write(results: Iterable[Result[Any]], shown: Mapping[str, list[str]], seconds: float) -> None:
    """Keep the results, and put them into the page."""
    kept = as_json(list(results), shown, seconds)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(page, rendered(kept)), encoding="utf-8")


def as_json(
    results: list[Result[Any]], shown: Mapping[str, list[str]], seconds: float
) -> dict[str, Any]:
    """Return one row for each drill, with the worst of its cells."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "seconds": round(seconds),
        "drills": list(_rows(results, shown)),
        "programs": list(_programs(results, shown)),
    }


def _rows(results: list[Result[Any]], shown: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    by_drill: dict[str, list[Result[Any]]] = {}
    for result in results:
        if isinstance(result.drill, Cell):
            by_drill.setdefault(result.drill.drill.name, []).append(result)
    for cells in by_drill.values():
        drill: Drill = cells[0].drill.drill
        outcomes = [each.outcome for each in cells if isinstance(each.outcome, Outcome)]
        ends_late = any(expected(cell.drill) == LATE for cell in cells)
        left = {name for outcome in outcomes for name in outcome.left}
        yield {
            "fault": drill.fault,
            "moment": drill.moment,
            **_counts(cells),
            "gets": sorted({_what(outcome) for outcome in outcomes}),
            "late": round(max(each.took for each in outcomes) - drill.limit, 3)
            if ends_late
            else None,
            "by design": drill.lateness or None,
            "took": round(max(each.took for each in outcomes), 3),
            "freed": max((each.freed for each in outcomes if each.freed is not None), default=None),
            "left": sorted(left),
            "machine": round(max(each.machine for each in outcomes), 3),
            "plant": drill.plant,
            "seen": _seen(shown, f"{drill.name}:", drill.plant),
        }


def _programs(
    results: list[Result[Any]], shown: Mapping[str, list[str]]
) -> Iterator[dict[str, Any]]:
    for result in results:
        if isinstance(result.outcome, Ending):
            program = result.drill
            yield {
                "fault": program.fault,
                "program": program.name.replace("_", " "),
                **_counts([result]),
                "took": round(result.outcome.took, 3),
                "waits": program.waits,
                "plant": program.plant,
                "seen": _seen(shown, f"{program.fault}: {program.name} ", program.plant),
            }


def _counts(results: list[Result[Any]]) -> dict[str, Any]:
    return {
        "cells": len(results),
        "hold": sum(result.mark == HOLDS for result in results),
        "again": sum(bool(result.first) for result in results),
        "why": [PLACE.sub("", why) for each in results if each.mark == FAILS for why in each.why],
    }


def _seen(shown: Mapping[str, list[str]], begins: str, plant: str) -> str | None:
    """Return how a planted defect was seen; None: it was not."""
    for name, why in shown.items():
        if name.startswith(begins) and name.endswith(f"| {plant}"):
            return PLACE.sub("", why[0])[:120] if why else None
    return None


def _what(outcome: Outcome) -> str:
    if not outcome.error:
        return "the answer"
    if outcome.error == "Answered":
        kind = json.loads(outcome.message.partition("{")[1] + outcome.message.partition("{")[2])
        return f"{outcome.message.partition(':')[0]} {kind['error']['type']}"
    return outcome.error


def filled(page: str, text: str) -> str:
    """Return a page with a text between its markers.

    Raises:
        ValueError: there are no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"docs/drills.md lacks the markers {BEGIN} and {END}.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def rendered(kept: Mapping[str, Any]) -> str:
    """Return the part of the page that comes from the results."""
    drills, programs = kept["drills"], kept["programs"]
    total = [*drills, *programs]
    cells, hold = (sum(each[name] for each in total) for name in ("cells", "hold"))
    seen = sum(each["seen"] is not None for each in total)
    head = (
        f"{kept['date']}, Python {kept['python']}, {kept['system']}: {hold} of {cells} drills hold, "
        f"and {seen} of {len(total)} planted defects were seen, in {kept['seconds']} s."
    )
    table = [["fault", "moment", "calls", "the caller gets", "late, ms", "server free, ms", "left"]]
    table += [_line(row) for row in drills]
    ends = [["fault", "program", "holds", "ended after, s"]]
    ends += [[row["fault"], row["program"], _holds(row), f"{row['took']:.1f}"] for row in programs]
    defects = [["fault", "moment or program", "defect", "how it was seen"]]
    defects += [
        [
            row["fault"],
            row.get("moment") or row["program"],
            f"`{row['plant']}`",
            _quoted(row["seen"]),
        ]
        for row in total
    ]
    return "\n\n".join(
        [head, markdown(table), "### Programs", markdown(ends), "### Defects", markdown(defects)]
    )


def _line(row: Mapping[str, Any]) -> list[str]:
    gets = ", ".join(each if each == "the answer" else f"`{each}`" for each in row["gets"])
    late = "–" if row["late"] is None else f"{row['late'] * 1000:.0f}"
    if row["by design"]:
        late += f" ({row['by design'] * 1000:.0f} by the fault)"
    freed = "–" if row["freed"] is None else f"{row['freed'] * 1000:.0f}"
    return [
        row["fault"], row["moment"], _holds(row), gets, late, freed, ", ".join(row["left"]) or "nothing",
    ]  # fmt: skip


def _holds(row: Mapping[str, Any]) -> str:
    mark = "✔" if row["hold"] == row["cells"] else "✘"
    return f"{mark} {row['hold']} of {row['cells']}"


def _quoted(seen: str | None) -> str:
    if seen is None:
        return "✘ it was not"
    return seen.replace("\n", " ").replace("<", "").replace(">", "").replace("`", "'")
