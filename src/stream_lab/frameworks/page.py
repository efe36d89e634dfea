"""The page, the picture and the evidence of a checkout, brought up to date."""

import re
from collections.abc import Iterator
from pathlib import Path

from stream_lab.errors import LabError
from stream_lab.frameworks import results
from stream_lab.frameworks.picture import draw
from stream_lab.frameworks.playing import Watch
from stream_lab.frameworks.registry import registry
from stream_lab.frameworks.report import (
    NAMES,
    Rows,
    by_scenario,
    cells,
    markdown,
    summary,
    table,
)
from stream_lab.frameworks.survey import Row

PAGE, PICTURE = "docs/frameworks.md", "docs/frameworks.png"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


class PageError(LabError):
    """Raised when the page has no place for the results."""


def record(folder: Path, rows: dict[str, Row], watch: Watch) -> None:
    """Write results into a checkout; rows of frameworks that were not played stay.

    Raises:
        PageError: the page is missing, or lacks its markers.
        ResultsError: the old results cannot be read.
    """
    merged = results.merge(results.read(folder), rows)
    file, page = folder / results.FILE, folder / PAGE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(results.as_json(merged, watch), encoding="utf-8")
    picture = draw(merged, watch.timeout)
    (folder / PICTURE).write_bytes(picture.png())
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(filled(text, generated(merged, watch, picture.alt)), encoding="utf-8")


def filled(page: str, text: str) -> str:
    """Return a page with a text between its markers.

    Raises:
        PageError: there are no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise PageError(f"{PAGE} lacks the markers {BEGIN} and {END}.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def generated(rows: Rows, watch: Watch, alt: str) -> str:
    """Return the part of the page that comes from the results."""
    days = sorted({row.day for row in rows.values()})
    played = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    counts = "; ".join(
        f"{NAMES[kind]}: {held} of {total}"
        for kind, (held, total) in summary(rows, watch.timeout).items()
    )
    twice = sum(each.outcome.late_before is not None for each in cells(rows, watch.timeout))
    parts = [
        f"![{alt}]({Path(PICTURE).name})",
        f"Played {played}, T = {watch.timeout:g} s, each cell watched for {watch.length:g} s. "
        f"Cells that hold: {counts}. {twice} were a little late at first, as on a busy machine, "
        "and were played once more.",
        markdown(by_scenario(rows, watch.timeout)),
        "## Every cell",
        markdown(table(rows, watch.timeout)),
        "## What a framework's own deadline leaves open",
        markdown([["framework", "setting", "open", "shown by"], *_open(rows, watch.timeout)]),
        "## Cells that do not hold with stream-deadline",
        _known(rows, watch.timeout),
        "## Versions",
        markdown([["framework", "versions"], *_versions(rows)]),
    ]
    return "\n\n".join(parts)


def _open(rows: Rows, timeout: float) -> Iterator[list[str]]:
    for name, row in rows.items():
        framework = registry().frameworks[name]
        for key, setting in framework.settings.items():
            if setting.kind == "own" and key in row.played:
                failing = [
                    f"{each.scenario}: {each.verdict.words}"
                    for each in cells({name: row}, timeout, "own")
                    if each.setting == key and not each.verdict.holds
                ]
                shown = "; ".join(failing) or "no cell of these five"
                yield [framework.title, setting.title, setting.leaves_open, shown]


def _known(rows: Rows, timeout: float) -> str:
    """Return a list of these cells, a line for each setting and reason."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for each in cells(rows, timeout, "library"):
        if not each.verdict.holds:
            reason = each.known.reason if each.known else "The reason is not known yet."
            words = f"{each.scenario} ({each.verdict.words})"
            found.setdefault((each.framework, each.setting, reason), []).append(words)
    lines = [
        f"- {registry().frameworks[name].title}, `{setting}`: {', '.join(words)}. {reason}"
        for (name, setting, reason), words in found.items()
    ]
    return "\n".join(lines) or "There are none."


def _versions(rows: Rows) -> Iterator[list[str]]:
    for name, row in rows.items():
        named = ", ".join(f"{package} {version}" for package, version in row.versions.items())
        yield [registry().frameworks[name].title, re.sub(r"@(?=[\w-]+/)", "", named) or "–"]
