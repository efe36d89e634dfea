"""The result of an investigation, as a table on the terminal and as a page."""

import json
import platform
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stream_lab.experiment.evidence import Outcome
from stream_lab.http.pages import render
from stream_lab.notebooks.folder import RunFolder
from stream_lab.notebooks.row import ENDED, Row, Status, count_claims
from stream_lab.untrusted import one_line, printable, read_json

PACKAGES = ("langchain", "langchain-core", "langchain-openai", "openai", "stream-deadline")
COLOURS = {Outcome.AS_TOLD: "green", Outcome.NOT_AS_TOLD: "red", Outcome.NOT_SHOWN: "yellow"}


@dataclass(frozen=True)
class Picture:
    """A picture of an executed notebook: PNG in base64, and its alt text."""

    png: str
    alt: str


@dataclass(frozen=True)
class Summary:
    """The result of an investigation.

    Attributes:
        server: The server and its model, in words.
        notes: What a reader should know about the server.
        timeout: The deadline of the notebooks, in seconds.
        seconds: Duration of the whole.
        interrupted: Whether the run was broken off.
        rows: The notebooks, in the order of the story.
    """

    server: str
    notes: list[str]
    timeout: float
    seconds: float
    interrupted: bool
    rows: list[Row]

    @property
    def as_told(self) -> bool:
        """Whether every notebook that can run here ran, and every claim held."""
        ran = [row for row in self.rows if row.status is not Status.SKIPPED]
        passed = all(row.status is Status.PASS for row in ran)
        return passed and bool(ran) and not self.interrupted

    @property
    def headline(self) -> str:
        held, claims = count_claims(self.rows)
        parts = [f"{held} of {claims} claims came out as the story tells"]
        if broken := [row.number for row in self.rows if row.error]:
            words = f"{len(broken)} of {len(self.rows)} notebooks did not run to their end"
            parts.insert(0, f"{words} ({', '.join(broken)})")
        if left := [row.number for row in self.rows if row.status is Status.SKIPPED]:
            parts.append(f"not run: {', '.join(left)}")
        return "; ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of verdicts.json."""
        body = asdict(self)
        results = [
            {
                "name": row.notebook,
                "title": row.title,
                "status": row.status,
                "claims": [asdict(claim) for claim in row.claims],
                "numbers": row.numbers,
                "error": row.error,
                "reason": row.reason,
                "seconds": row.seconds,
                "left_behind": row.left_behind,
            }
            for row in self.rows
        ]
        del body["rows"]
        head = {"as_told": self.as_told, "headline": self.headline, "versions": versions()}
        return {**head, **body, "results": results}


def pictures_of(notebook: str) -> list[Picture]:
    """Return the pictures of an executed notebook, in order.

    Args:
        notebook: The notebook's text; empty if it was not executed. Of a damaged one, the pictures
            before the damage count.
    """
    found: list[Picture] = []
    try:
        for cell in read_json(notebook)["cells"] if notebook else []:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    png = "".join(output["data"]["image/png"]).replace("\n", "")
                    alt = output["metadata"].get("image/png", {}).get("alt", "")
                    found.append(Picture(png, str(alt)))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return found


def versions() -> dict[str, str]:
    """Return the versions that decide how the story goes."""
    return {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def write(summary: Summary, folder: RunFolder) -> str:
    """Write report.html and verdicts.json, and return the page's path.

    Raises:
        FolderError: There is no room, or no permission.
    """
    sections = []
    for row in summary.rows:
        executed = folder.path / "notebooks" / f"{row.notebook}.ipynb"
        text = executed.read_text(encoding="utf-8") if executed.exists() else ""
        sections.append((row, pictures_of(text), bool(text)))
    page = render(
        "stream_lab.notebooks",
        "report.html.j2",
        summary=summary,
        sections=sections,
        versions=versions(),
        when=datetime.now().strftime("%Y-%m-%d %H:%M"),
    )
    folder.write("verdicts.json", json.dumps(summary.as_dict(), indent=1, ensure_ascii=False))
    return str(folder.write("report.html", page))


def show(summary: Summary, console: Console) -> None:
    """Print the table of claims."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("notebook", no_wrap=True)
    table.add_column("claim")
    table.add_column("this run")
    table.add_column("", no_wrap=True)
    for row in summary.rows:
        lines = [
            (claim.text, claim.found, f"[{COLOURS[claim.outcome]}]{claim.outcome.mark}[/]")
            for claim in row.claims
        ]
        if row.error:
            lines.append((ENDED, row.error, "[red]✘[/]"))
        if row.status is Status.SKIPPED:
            mark = f"[{row.status.colour}]{row.status.mark}[/]"
            lines.append(("not run", row.reason, mark))
        for index, (claim, found, mark) in enumerate(lines):
            number = "" if index else row.number
            table.add_row(number, escape(claim), escape(found), mark)
        table.add_section()
    console.print(table)
    colour = "green" if summary.as_told else "red"
    console.print(
        f"\n[{colour}]{escape(summary.headline)}.[/] {escape(one_line(summary.server))}, "
        f"TIMEOUT {summary.timeout:g} s, {summary.seconds:.0f} s in all.",
        highlight=False,
    )
    for note in summary.notes:
        console.print(f"Note: {escape(printable(note, keep=''))}", highlight=False)
