"""A regression run on a terminal: its plan, its matrix, its changes and its verdict."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stream_lab.notebooks.row import Row
from stream_lab.regress.plan import Plan
from stream_lab.regress.summary import Kind, Summary, Verdict, told
from stream_lab.untrusted import printable

VERDICT_COLOURS = {
    Verdict.AS_EXPECTED: "green",
    Verdict.REGRESSION: "red",
    Verdict.UNKNOWN: "yellow",
}
TITLES = {
    Kind.REGRESSION: ("Regressions", "red"),
    Kind.UNKNOWN: ("Could not be told", "yellow"),
    Kind.FLAKY: ("Flaky", "yellow"),
    Kind.SLOW: ("Slow", "yellow"),
    Kind.KNOWN: ("As bad as before", "bright_black"),
    Kind.MENDED: ("Mended", "green"),
}


def show_plan(plan: Plan, console: Console) -> None:
    """Print the cells of a plan and how they would be run; run nothing."""
    for cell in plan.cells:
        console.print(cell.name, highlight=False, markup=False, soft_wrap=True)
    shared = dict.fromkeys(
        f"{name}={value}"
        for cell in plan.cells
        for name, value in cell.parameters
        if name not in cell.axes
    )
    if shared:
        console.print(f"\nWith {', '.join(shared)}.", highlight=False, markup=False)
    console.print(
        f"\n{len(plan.cells)} cells, {plan.config.jobs} at a time; held against "
        f"{plan.baseline.words}.",
        highlight=False,
        markup=False,
    )
    for note in plan.config.notes():
        console.print(f"Note: {note}", highlight=False, markup=False)


def show(summary: Summary, console: Console) -> None:
    """Print the matrix, the changes and the verdict."""
    console.print(_matrix(summary))
    for kind, (title, colour) in TITLES.items():
        if changes := summary.of(kind):
            console.print(f"\n[{colour}]{title}[/]")
            for change in changes:
                claim = f"{escape(printable(change.claim, keep=''))}: " if change.claim else ""
                console.print(
                    f"  {escape(change.cell)}: {claim}{escape(told(change))}",
                    highlight=False,
                    soft_wrap=True,
                )
    colour = VERDICT_COLOURS[summary.verdict]
    held = f"Held against {summary.against}. {summary.where}, {summary.seconds:.0f} s."
    console.print(
        f"\n[{colour}]{summary.verdict.capitalize()}[/]: "
        f"{escape(printable(f'{summary.headline}. {held}', keep=''))}",
        highlight=False,
    )
    for note in summary.notes:
        console.print(f"Note: {escape(printable(note, keep=''))}", highlight=False)


def _matrix(summary: Summary) -> Table:
    columns = list(dict.fromkeys((row.endpoint, row.world) for row in summary.rows))
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("notebook", no_wrap=True)
    for endpoint, world in columns:
        table.add_column(f"{endpoint}\n{world}", justify="right")
    lines: dict[str, dict[tuple[str, str], Row]] = {}
    for row in summary.rows:
        chosen = row.chosen
        lines.setdefault(f"{row.notebook}{f' ({chosen})' if chosen else ''}", {})[
            row.endpoint, row.world
        ] = row
    for name, found in lines.items():
        table.add_row(escape(name), *(_square(found.get(column)) for column in columns))
    return table


def _square(row: Row | None) -> str:
    if row is None:
        return ""
    seconds = f" {row.seconds:.0f} s" if row.seconds else ""
    twice = " twice" if row.flaky else ""
    return f"[{row.status.colour}]{row.status.mark} {row.status}[/]{twice}{seconds}"
