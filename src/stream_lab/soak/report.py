"""The report of a soak: a page, the results as JSON, and a picture."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from stream_lab.errors import LabError
from stream_lab.soak.picture import lateness
from stream_lab.soak.result import FEW_ROUNDS, MIB, Result

MOST = 20  # violations and late calls that the page lists
COLUMNS = ("late, ms", "calls", "p50", "p95", "p99", "most", "alone p95", "alone p99", "alone most")
"""Of the table; *alone* is what was late while nothing stood still."""


class ReportError(LabError):
    """Raised when the report cannot be written."""


def write(result: Result, runs: Path) -> Path:
    """Write the report into a new folder, and return that.

    Args:
        result: what the soak has shown.
        runs: the folder of all runs.

    Raises:
        ReportError: it cannot be written.
    """
    folder = runs / f"soak-{datetime.now().strftime('%Y-%m-%dT%H-%M-%S-%f')[:-3]}"
    try:
        folder.mkdir(parents=True)
        text = json.dumps(result.as_dict(), indent=1)
        (folder / "results.json").write_text(f"{text}\n", encoding="utf-8")
        (folder / "report.md").write_text(page(result), encoding="utf-8")
        (folder / "lateness.png").write_bytes(lateness(result).png())
    except OSError as error:
        raise ReportError(
            f"The report cannot be written into {folder}: {error.strerror}. Name another folder "
            "with --out."
        ) from None
    return folder


def page(result: Result) -> str:
    """Return the report as a page."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    yield f"# A soak of {result.calls} calls, seed {result.seed}"
    yield ""
    yield verdict(result)
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for row in table(result):
        yield f"| {' | '.join(row)} |"
    yield ""
    yield "![How late the calls ended](lateness.png)"
    yield ""
    yield reasons(result)
    for each in result.unexplained[:MOST]:
        yield f"- {each.number}: {each.late * 1000:.0f} ms, {each.plan}"
    yield ""
    ends = ", ".join(f"{count} {end}" for end, count in result.ends.most_common())
    yield f"Ends: {ends}."
    yield ""
    loop, process = result.stood_still
    yield f"The event loop stood still for {loop:.2f} s at most, the process for {process:.2f} s."
    if result.memory:
        first, last = result.memory[0], result.memory[-1]
        yield ""
        yield (
            f"Memory after the first and the last of {len(result.memory)} rounds: "
            f"{first[0] >> 20} and {last[0] >> 20} MiB; of the served application "
            f"{first[1] >> 20} and {last[1] >> 20} MiB."
        )
        if not result.memory_is_judged:
            yield f"So few rounds do not tell whether it grows; {FEW_ROUNDS} do."
    if result.traced:
        first_traced, last_traced = (each / MIB for each in (result.traced[0], result.traced[-1]))
        yield f"Python's objects took {first_traced:.1f} MiB then, and {last_traced:.1f} at last."
    if result.violations:
        yield ""
        yield "## Violations"
        yield ""
        for line in violations(result):
            yield f"- {line}"


def verdict(result: Result) -> str:
    """Return the result in one sentence."""
    count = len(result.violations)
    found = "no violation" if not count else f"{count} violation{'s' * (count > 1)}"
    short = ", interrupted" if result.interrupted else ""
    rate = result.calls / result.took if result.took else 0.0
    return (
        f"{result.calls} calls in {result.took:.0f} s ({rate:.0f} a second{short}), seed "
        f"{result.seed}: {found}."
    )


def reasons(result: Result) -> str:
    """Say how many calls were late, and why."""
    unexplained = len(result.unexplained)
    explained = result.late_calls - unexplained
    return (
        f"{result.late_calls} calls were more than 50 ms late: beside {explained} of them the "
        f"event loop or the process stood still as long, beside {unexplained} it did not."
    )


def table(result: Result) -> list[list[str]]:
    """Return the percentiles, row by row, in milliseconds."""
    alone = result.percentiles(alone=True)
    return [
        [
            name,
            str(len(result.late[name])),
            *(f"{each * 1000:.1f}" for each in values),
            *([f"{each * 1000:.1f}" for each in alone[name][1:]] if name in alone else [""] * 3),
        ]
        for name, values in result.percentiles().items()
    ]


def violations(result: Result) -> Iterator[str]:
    """Yield the first violations, and how some of them come again."""
    for each in result.violations[:MOST]:
        if each.plan is None:
            yield each.what
        else:
            yield f"call {each.plan.number}: {each.what} [{each.plan}]"
    if len(result.violations) > MOST:
        yield f"and {len(result.violations) - MOST} more, in results.json"
    for replay in result.replays:
        yield f"{replay.violation.what}: {replay.sentence(result.seed)}"
