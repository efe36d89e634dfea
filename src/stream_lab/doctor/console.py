"""The diagnosis as one screen of text."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from stream_lab.doctor.diagnosis import Cause
from stream_lab.doctor.examine import Examination
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.probe import Transcript
from stream_lab.http.capture import End
from stream_lab.untrusted import printable

WIDTH = 44
LEVELS = "▁▂▃▄▅▆▇█"
ENDS = {
    End.WHOLE: "┤",
    End.CLOSED: "✖ closed",
    End.RESET: "✖ reset",
    End.BROKEN: "✖ not HTTP",
    End.WATCHED: "… still open",
}


def show(examination: Examination, console: Console) -> None:
    """Print cause, evidence, timelines, and what to do next."""
    found = examination.diagnosis
    colour = "green" if found.cause is Cause.HEALTHY else "red"
    where = f", {found.layer}" if found.layer else ""
    console.print(
        f"[bold {colour}]{found.cause}[/]{where} ({_sure(found.confidence)}). "
        f"{escape(found.meaning)}",
        highlight=False,
    )
    console.print()
    for sentence in found.evidence:
        said = escape(printable(sentence, keep=""))
        console.print(Padding(f"• {said}", (0, 0, 0, 2)), highlight=False)
    if found.also:
        console.print(Padding(f"• Also: {', '.join(found.also)}.", (0, 0, 0, 2)), highlight=False)
    table = Table.grid(padding=(0, 2))
    runs = [
        (layer, run)
        for layer, runs in examination.runs.items()
        for run in runs
        if run.transcript.pieces
    ]
    rows = _rows([run for _, run in runs], one_clock=False)
    for (layer, run), row in zip(runs, rows, strict=True):
        table.add_row(layer, row, f"{run.transcript.ended:.1f} s")
    if table.row_count:
        console.print()
        console.print(Padding(table, (0, 0, 0, 2)), highlight=False)
        console.print(
            Padding(
                "[dim]tokens over time since the request; each row is one stream[/]",
                (0, 0, 0, 2),
            )
        )
    console.print()
    console.print(f"[bold]Next:[/] {escape(found.next)}", highlight=False)
    if found.refuted_by:
        console.print(f"[bold]Refuted by:[/] {escape(found.refuted_by)}.", highlight=False)


def timelines(heard: Sequence[Transcript], *, one_clock: bool = False) -> list[str]:
    """Return a row of blocks for each stream: when tokens came, and how it ended.

    Args:
        heard: the streams. The longest one gets a row of full width.
        one_clock: whether a row begins when its request was sent, on the clock that all rows share;
            otherwise each row begins at its own request.
    """
    return _rows([Facts(each) for each in heard], one_clock=one_clock)


def _rows(runs: Sequence[Facts], *, one_clock: bool) -> list[str]:
    heard = [run.transcript for run in runs]
    zero = min((each.began for each in heard), default=0.0)
    starts = [each.began - zero if one_clock else 0.0 for each in heard]
    ends = [start + each.ended for start, each in zip(starts, heard, strict=True)]
    scale = WIDTH / max([*ends, 1e-9])
    return [
        " " * int(start * scale) + _row(run, scale) for start, run in zip(starts, runs, strict=True)
    ]


def _row(run: Facts, scale: float) -> str:
    counts = [0] * max(1, round(run.transcript.ended * scale))
    for at in run.tokens:
        counts[min(len(counts) - 1, int(at * scale))] += 1
    most = max(counts) or 1
    row = "".join(
        LEVELS[round((len(LEVELS) - 1) * count / most)] if count else "·" for count in counts
    )
    return row + ENDS.get(run.transcript.ending, "")


def _sure(confidence: float) -> str:
    return "sure" if confidence >= 0.9 else "likely" if confidence >= 0.7 else "perhaps"
