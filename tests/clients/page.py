"""Write the tables of docs/fake_clients.md, which show the last run of `make clients`."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from stream_lab.frameworks.report import markdown
from tests.clients.registry import ROOT

RESULTS, PAGE = "evidence/clients/results.json", "docs/fake_clients.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
COLUMNS = {
    "whole": "whole",
    "stream": "stream",
    "tools": "tools",
    "structured": "structured",
    "abort": "abort",
    "reasoning": "reasoning",
    "retry": "retry",
    "cut": "reset",
    "timeout": "no answer",
    "silence": "silence",
}
"""The headings of the columns, by kind of case."""


def rendered(clients: Mapping[str, Any]) -> str:
    """Return the part of the page that comes from the results."""
    return "\n\n".join(
        [
            markdown([["client", "called by", *COLUMNS.values()], *_rows(clients)]),
            "## Versions",
            markdown([["client", "versions"], *_versions(clients)]),
            "## Notes",
            "\n".join(_notes(clients)),
        ]
    )


def filled(page: str, text: str) -> str:
    """Return a page with a text between its markers.

    Raises:
        ValueError: there are no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} lacks the markers {BEGIN} and {END}.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def _rows(clients: Mapping[str, Any]) -> Iterator[list[str]]:
    for client in clients.values():
        title = client["title"]
        for name, way in client["ways"].items():
            yield [title, f"`{name}`", *(_cell(way["cases"].get(kind)) for kind in COLUMNS)]
            title = ""


def _cell(case: Mapping[str, Any] | None) -> str:
    if case is None:
        return "–"
    if not case["holds"]:
        return "✘"
    return f"`{case['error']}`" if "error" in case else "✔"


def _versions(clients: Mapping[str, Any]) -> Iterator[list[str]]:
    for client in clients.values():
        named = ", ".join(f"{name} {version}" for name, version in client["versions"].items())
        yield [client["title"], f"`{named}`"]


def _notes(clients: Mapping[str, Any]) -> Iterator[str]:
    """Yield each note and reason once, for all ways that have it."""
    for client in clients.values():
        notes: dict[str, list[str]] = {}
        for name, way in client["ways"].items():
            if way["note"]:
                notes.setdefault(way["note"], []).append(f"`{name}`")
            for reason in dict.fromkeys(way["without"].values()):
                kinds = [COLUMNS[kind] for kind, why in way["without"].items() if why == reason]
                notes.setdefault(reason, []).append(f"`{name}` without {' and '.join(kinds)}")
        for text, names in notes.items():
            yield f"- {client['title']}, {'; '.join(names)}: {text}"


def main() -> None:
    file = ROOT / RESULTS
    if not file.exists():
        sys.exit(f"There is no {RESULTS} yet; make clients writes it.")
    page = ROOT / PAGE
    text = rendered(json.loads(file.read_text(encoding="utf-8")))
    page.write_text(filled(page.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
