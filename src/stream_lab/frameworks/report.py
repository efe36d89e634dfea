"""The report: tables for the page and the console, and which cells do not hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stream_lab.frameworks.judge import Mark, Verdict, judge
from stream_lab.frameworks.outcome import Outcome
from stream_lab.frameworks.registry import Framework, Known, Setting, registry
from stream_lab.frameworks.survey import Row

Rows = Mapping[str, Row]
MADE_FOR = "–"
NAMES = {
    "natural": "usual time-outs",
    "own": "total deadlines of their own",
    "library": "stream-deadline",
}


@dataclass(frozen=True)
class Judged:
    """A cell of the table.

    Attributes:
        framework: its name in the registry.
        setting: likewise.
        scenario: likewise.
        outcome: what happened.
        verdict: what it means.
        known: the reason that the registry has for a cell that does not hold; None: there is none.
    """

    framework: str
    setting: str
    scenario: str
    outcome: Outcome
    verdict: Verdict
    known: Known | None

    @property
    def name(self) -> str:
        return f"{self.framework} × {self.setting} × {self.scenario}"

    @property
    def complaint(self) -> str:
        """Return what is wrong with a cell of the library; empty: nothing is."""
        if self.known is None:
            return "" if self.verdict.holds else f"does not hold: {self.verdict.words}"
        if self.verdict.mark is self.known.mark:
            return ""
        return (
            f"is known as '{self.known.mark}' and came out as '{self.verdict.mark}' "
            f"({self.verdict.words}); change the registry"
        )


def cells(rows: Rows, timeout: float, kind: str | None = None) -> Iterator[Judged]:
    """Yield the cells that were played, of all settings or of one kind."""
    for name, row in rows.items():
        framework = registry().frameworks[name]
        for key, setting in framework.settings.items():
            if kind not in (None, setting.kind):
                continue
            for scenario, outcome in row.played.get(key, {}).items():
                if scenario in framework.without:
                    continue  # played before the registry said so
                verdict = judge(outcome, scenario, setting.timeout or timeout)
                yield Judged(name, key, scenario, outcome, verdict, setting.known.get(scenario))


def complaints(rows: Rows, timeout: float) -> list[str]:
    """Return what is wrong with the library, a sentence for each cell or framework."""
    wrong = [
        f"{each.name} {each.complaint}."
        for each in cells(rows, timeout, "library")
        if each.complaint
    ]
    unplayed = [
        f"{name} was not played: {row.unplayed}"
        for name, row in rows.items()
        if row.unplayed and not registry().frameworks[name].unplayable
    ]
    return wrong + unplayed


def summary(rows: Rows, timeout: float) -> dict[str, tuple[int, int]]:
    """Return how many cells hold, of how many, for each kind of setting."""
    counts = {}
    for kind in NAMES:
        found = [each.verdict.holds for each in cells(rows, timeout, kind)]
        counts[kind] = (sum(found), len(found))
    return counts


def by_scenario(rows: Rows, timeout: float) -> list[list[str]]:
    """Return a table of how many cells hold, for each scenario and kind of setting."""
    lines = [["scenario", *NAMES.values()]]
    for name, scenario in registry().scenarios.items():
        counts = []
        for kind in NAMES:
            found = [each for each in cells(rows, timeout, kind) if each.scenario == name]
            counts.append(f"{sum(each.verdict.holds for each in found)} of {len(found)}")
        lines.append([scenario.title, *counts])
    return lines


def table(rows: Rows, timeout: float, kind: str | None = None) -> list[list[str]]:
    """Return the table, headings first: a line for each framework and setting.

    Args:
        rows: the results.
        timeout: the deadline in seconds.
        kind: the kind of setting to show. None: all.
    """
    scenarios = registry().scenarios
    lines = [["framework", "setting", *(each.title for each in scenarios.values()), "the error"]]
    for name, row in rows.items():
        framework = registry().frameworks[name]
        if row.unplayed:
            lines.append([framework.title, f"not played: {row.unplayed}"] + [""] * 6)
            continue
        shown = [each for each in framework.settings.items() if kind in (None, each[1].kind)]
        for number, (key, setting) in enumerate(shown):
            found = row.played.get(key, {})
            words = [_words(framework, setting, each, found, timeout) for each in scenarios]
            title = framework.title if number == 0 else ""
            lines.append([title, setting.title, *words, _errors(found)])
    return lines


def _words(
    framework: Framework,
    setting: Setting,
    scenario: str,
    found: Mapping[str, Outcome],
    timeout: float,
) -> str:
    if scenario in framework.without or scenario not in found:
        return MADE_FOR
    verdict = judge(found[scenario], scenario, setting.timeout or timeout)
    if verdict.mark is Mark.UNPLAYED:
        return "not played"
    sign = "✔" if verdict.holds else "▲" if scenario in setting.known else "✘"
    return f"{sign} {verdict.words}{', no error' if verdict.silent and verdict.holds else ''}"


def _errors(found: Mapping[str, Outcome]) -> str:
    """Return the exceptions that callers got, each once; in brackets what hides ours."""
    seen: dict[str, None] = {}
    for outcome in found.values():
        if outcome.chain:
            first = outcome.chain[0]
            hidden = outcome.ours and first != "StreamDeadlineExceeded"
            seen[f"{first} (ours inside)" if hidden else first] = None
    return ", ".join(f"`{each}`" if "(" not in each else each for each in seen)


def markdown(lines: list[list[str]]) -> str:
    """Return a table in Markdown."""
    head, *rest = [[each.replace("|", "\\|") for each in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rest))
