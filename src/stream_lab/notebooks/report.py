"""One page that holds a whole run: the verdict, every claim, every picture. It needs no other file."""

import json
import platform
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_lab.experiment.evidence import Outcome
from stream_lab.http.pages import render
from stream_lab.notebooks.investigation import Result

PACKAGES = ("langchain", "langchain-core", "langchain-openai", "openai", "stream-deadline")


@dataclass(frozen=True)
class Picture:
    """A picture of an executed notebook: PNG in base64, and what it shows in words."""

    png: str
    alt: str


@dataclass(frozen=True)
class Summary:
    """What a run was made with and what it came to."""

    server: str
    notes: list[str]
    timeout: float
    seconds: float
    interrupted: bool
    results: list[Result]

    @property
    def as_told(self) -> bool:
        """Whether every notebook ran and every claim came out as the story says."""
        return (
            not self.interrupted
            and bool(self.results)
            and all(result.as_told for result in self.results)
        )

    @property
    def headline(self) -> str:
        claims = [claim for result in self.results for claim in result.claims]
        good = sum(claim.outcome is Outcome.AS_TOLD for claim in claims)
        told = f"{good} of {len(claims)} claims came out as the story tells"
        broken = [result.name[:2] for result in self.results if result.error]
        return (
            f"{len(broken)} of {len(self.results)} notebooks did not run to their end ({', '.join(broken)}); {told}"
            if broken
            else told
        )


def pictures_of(notebook: Path) -> list[Picture]:
    """Return the pictures an executed notebook shows, in order; none if it was never written."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError):
        return []
    outputs = [
        output
        for cell in cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return [
        Picture(
            "".join(output["data"]["image/png"]).replace("\n", ""),
            output["metadata"].get("image/png", {}).get("alt", ""),
        )
        for output in outputs
    ]


def versions() -> dict[str, str]:
    """Return the versions that decide how the story goes."""
    return {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def write(summary: Summary, folder: Path) -> Path:
    """Write report.html and verdicts.json into the run's folder; returns the page's path."""
    sections = [
        (result, pictures_of(folder / "notebooks" / f"{result.name}.ipynb"))
        for result in summary.results
    ]
    when = datetime.now().strftime("%Y-%m-%d %H:%M")
    page = folder / "report.html"
    text = render(
        "stream_lab.notebooks",
        "report.html.j2",
        summary=summary,
        sections=sections,
        versions=versions(),
        when=when,
    )
    page.write_text(text, encoding="utf-8")
    body: dict[str, Any] = {
        "as_told": summary.as_told,
        "headline": summary.headline,
        "versions": versions(),
        **asdict(summary),
    }
    (folder / "verdicts.json").write_text(
        json.dumps(body, indent=1, ensure_ascii=False), encoding="utf-8"
    )
    return page


def show(summary: Summary, console: Console) -> None:
    """Print the table of claims."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("notebook", no_wrap=True)
    table.add_column("claim")
    table.add_column("this run")
    table.add_column("", no_wrap=True)
    colours = {Outcome.AS_TOLD: "green", Outcome.NOT_AS_TOLD: "red", Outcome.NOT_SHOWN: "yellow"}
    for result in summary.results:
        for index, claim in enumerate(result.claims):
            colour = colours[claim.outcome]
            table.add_row(
                "" if index else result.name[:2],
                claim.text,
                claim.found,
                f"[{colour}]{claim.outcome.mark}[/]",
            )
        if result.error:
            table.add_row(
                "" if result.claims else result.name[:2],
                "runs to its end",
                result.error,
                "[red]✘[/]",
            )
        table.add_section()
    console.print(table)
    colour = "green" if summary.as_told else "red"
    console.print(
        f"\n[{colour}]{summary.headline}.[/] {summary.server}, TIMEOUT {summary.timeout:g} s, {summary.seconds:.0f} s in all.",
        highlight=False,
    )
    for note in summary.notes:
        console.print(f"Note: {note}", highlight=False)
