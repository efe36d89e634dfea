"""The recorded results to look through: filtered tables, and a form."""

from collections.abc import Mapping, Sequence

from stream_lab.course.form import Choices, Form, Table
from stream_lab.frameworks.judge import Mark, judge
from stream_lab.frameworks.registry import registry
from stream_lab.frameworks.report import NAMES, Rows, cells
from stream_lab.frameworks.results import Recorded
from stream_lab.frameworks.survey import Row

LANGUAGES: Choices = {"any language": None, "Python": "python", "JavaScript": "node"}
KINDS: Choices = {"any way": None, **{words: kind for kind, words in NAMES.items()}}


WORDS = {
    Mark.HOLDS: "✔",
    Mark.AGAIN: "✘ again",
    Mark.RUNNING: "✘ runs on",
    Mark.LATE: "✘ late",
    Mark.BUSY: "✘ busy",
    Mark.EARLY: "✘ early",
    Mark.UNPLAYED: "–",
}
SILENT = "✔ no error"


def spoken(rows: Rows, language: str | None) -> dict[str, Row]:
    """Return the frameworks of a language, "python" or "node". None: all."""
    frameworks = registry().frameworks
    return {
        name: row for name, row in rows.items() if language in (None, frameworks[name].language)
    }


def held(recorded: Recorded, kind: str, scenario: str | None = None) -> tuple[int, int]:
    """Return how many cells of a kind hold, of how many.

    Args:
        recorded: the results.
        kind: "natural", "own" or "library".
        scenario: the behaviour. None: all.
    """
    found = [
        each.verdict.holds
        for each in cells(recorded.rows, recorded.watch.timeout, kind)
        if scenario in (None, each.scenario)
    ]
    return sum(found), len(found)


def share(held: int, total: int) -> str:
    """Return a share in words: none, few, about half, or most."""
    part = held / total
    return (
        "none" if not held
        else "few" if part < 1 / 3
        else "about half" if part <= 2 / 3
        else "most"
    )  # fmt: skip


def best(recorded: Recorded, kind: str) -> str:
    """Return the title of the behaviour that most settings of a kind deal with."""
    shares = {}
    for name, scenario in registry().scenarios.items():
        found, total = held(recorded, kind, name)
        shares[scenario.title] = found / total if total else 0.0
    return max(shares, key=lambda title: shares[title])


def overview(recorded: Recorded, language: str | None = None, kind: str | None = None) -> Table:
    """Return a table of how each cell came out, in a word.

    Args:
        recorded: the results.
        language: "python" or "node". None: both.
        kind: "natural", "own" or "library". None: all settings.
    """
    scenarios = registry().scenarios
    found: dict[tuple[str, str], dict[str, str]] = {}
    for each in cells(spoken(recorded.rows, language), recorded.watch.timeout, kind):
        word = SILENT if each.verdict.holds and each.verdict.silent else WORDS[each.verdict.mark]
        found.setdefault((each.framework, each.setting), {})[each.scenario] = word
    lines = [["framework", "setting", *(scenario.title for scenario in scenarios.values())]]
    for (name, key), words in found.items():
        framework = registry().frameworks[name]
        setting = f"`{framework.settings[key].title}`"
        lines.append([framework.title, setting, *(words.get(each, "–") for each in scenarios)])
    return Table(lines)


def always(recorded: Recorded) -> Table:
    """Return the frameworks' own settings that hold in every cell that was played."""
    every: dict[tuple[str, str], list[bool]] = {}
    for kind in ("natural", "own"):
        for each in cells(recorded.rows, recorded.watch.timeout, kind):
            every.setdefault((each.framework, each.setting), []).append(each.verdict.holds)
    lines = [["framework", "setting", "cells", "what it leaves open"]]
    for (name, key), found in every.items():
        if all(found):
            framework = registry().frameworks[name]
            setting = framework.settings[key]
            count = f"{len(found)} of {len(registry().scenarios)} played"
            lines.append([framework.title, f"`{setting.title}`", count, setting.leaves_open or "–"])
    return Table(lines)


def versions(recorded: Recorded, rows: Mapping[str, Row]) -> Table:
    """Return the versions that were recorded beside those of other rows."""
    lines = [["framework", "package", "recorded", "here"]]
    for name, row in rows.items():
        for package, found in row.versions.items():
            there = recorded.rows[name].versions.get(package, "–")
            lines.append([registry().frameworks[name].title, package, there, found])
    return Table(lines)


def compare(
    recorded: Recorded, rows: Mapping[str, Row], timeout: float, slack: float
) -> tuple[Table, bool]:
    """Compare new rows with the recorded ones.

    Args:
        recorded: the recorded results.
        rows: the new rows.
        timeout: the deadline of the new rows, in seconds.
        slack: the seconds by which a new call may be late.

    Returns:
        A table in words, and whether every cell came out as it was recorded.
    """
    lines, same = [["framework", "setting", "the server", "recorded", "here"]], True
    for name, row in rows.items():
        framework = registry().frameworks[name]
        for key, found in row.played.items():
            for scenario, outcome in found.items():
                now = judge(outcome, scenario, timeout, slack).mark
                then = judge(
                    recorded.rows[name].played[key][scenario], scenario, recorded.watch.timeout
                ).mark
                title = registry().scenarios[scenario].title
                setting = f"`{framework.settings[key].title}`"
                lines.append([framework.title, setting, title, WORDS[then], WORDS[now]])
                same &= now is then
    return Table(lines), same


def explore(recorded: Recorded, *, live: bool) -> Form:
    """Return a form that filters the results; elsewhere, the table of the usual time-outs.

    Args:
        recorded: the results.
        live: whether the form is shown.
    """

    def show(language: str | None, kind: str | None) -> Sequence[Table]:
        return [overview(recorded, language, kind)]

    fields = {"language": LANGUAGES, "how the time-out is set": KINDS}
    chosen = {"how the time-out is set": "natural"}
    return Form(fields, show, instead=overview(recorded, None, "natural"), live=live, chosen=chosen)


def mark(row: Row, setting: str, scenario: str, timeout: float, slack: float) -> str:
    """Return how a cell of a row came out, as the word of its mark.

    Args:
        row: the results of a framework.
        setting: the name of the setting.
        scenario: the name of the behaviour.
        timeout: the deadline of the row, in seconds.
        slack: the seconds by which a call may be late.
    """
    return str(judge(row.played[setting][scenario], scenario, timeout, slack).mark)
