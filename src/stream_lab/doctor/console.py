"""The diagnosis as one screen of text."""

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
    for layer, heard in examination.heard.items():
        for transcript in heard:
            if transcript.pieces:
                table.add_row(layer, timeline(transcript), f"{transcript.ended:.1f} s")
    if table.row_count:
        console.print()
        console.print(Padding(table, (0, 0, 0, 2)), highlight=False)
        console.print(
            Padding(
                "[dim]tokens over time; each row is one stream, all of the same length[/]",
                (0, 0, 0, 2),
            )
        )
    console.print()
    console.print(f"[bold]Next:[/] {escape(found.next)}", highlight=False)
    if found.refuted_by:
        console.print(f"[bold]Refuted by:[/] {escape(found.refuted_by)}.", highlight=False)


def timeline(transcript: Transcript) -> str:
    """Return the arrival of tokens as a row of blocks, and how the stream ended."""
    tokens, end = Facts(transcript).tokens, max(transcript.ended, 1e-9)
    counts = [0] * WIDTH
    for at in tokens:
        counts[min(WIDTH - 1, int(at / end * WIDTH))] += 1
    most = max(counts) or 1
    row = "".join(
        LEVELS[round((len(LEVELS) - 1) * count / most)] if count else "·" for count in counts
    )
    return row + ENDS.get(transcript.ending, "")


def _sure(confidence: float) -> str:
    return "sure" if confidence >= 0.9 else "likely" if confidence >= 0.7 else "perhaps"
