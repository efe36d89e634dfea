"""A run as one HTML page that needs no other file.

It has the verdict, the changes, the matrix as a heat map, and every cell's details.
"""

from dataclasses import dataclass
from urllib.parse import quote

from stream_lab.http.pages import render
from stream_lab.notebooks.row import Row, Status
from stream_lab.regress.summary import Change, Kind, Summary, Verdict

GROUPS = (
    ((Kind.REGRESSION,), "Regressions", "worse than what this run was held against"),
    ((Kind.UNKNOWN,), "Could not be told", "neither better nor worse; something else came first"),
    (
        (Kind.FLAKY, Kind.SLOW),
        "Warnings",
        "passed, but only when run once more, or far slower than before",
    ),
    (
        (Kind.KNOWN,),
        "As bad as before",
        "not as the story tells it, and neither was what this run was held against",
    ),
    ((Kind.MENDED,), "Mended", "better than before"),
)
NOTES = {
    Kind.REGRESSION: "regression",
    Kind.UNKNOWN: "could not tell",
    Kind.FLAKY: "flaky",
    Kind.SLOW: "slow",
    Kind.KNOWN: "as before",
    Kind.MENDED: "mended",
    Kind.NEW: "new",
}
"""The note on a cell or a claim that changed, the gravest first; each has at most one."""
PACKAGES = (
    "python",
    "langchain-core",
    "langchain-openai",
    "openai",
    "httpx",
    "httpx2",
    "pydantic",
    "anyio",
)
TONES = {Verdict.AS_EXPECTED: "good", Verdict.REGRESSION: "bad", Verdict.UNKNOWN: "open"}
OPEN_UP_TO = 8
"""The most lines of an open group that is no cause for alarm."""


@dataclass(frozen=True)
class Place:
    """The endpoint and world of a cell; `link` leads to its details on the page."""

    link: str
    words: str


@dataclass(frozen=True)
class Line:
    """The same change in one or more cells of one notebook.

    Attributes:
        claim: The claim; empty if the change is about the notebook as a whole.
    """

    notebook: str
    claim: str
    now: str
    instead: str
    places: list[Place]


@dataclass(frozen=True)
class Group:
    """The changes of one kind.

    Attributes:
        cells: How many cells have them.
        grave: Whether the group stays open however long it is.
    """

    title: str
    meaning: str
    lines: list[Line]
    changes: int
    cells: int
    grave: bool

    @property
    def tells_before(self) -> bool:
        """Whether any line has an earlier state to show."""
        return any(line.instead for line in self.lines)

    @property
    def collapsed(self) -> bool:
        return not self.grave and len(self.lines) > OPEN_UP_TO


@dataclass(frozen=True)
class Cell:
    """A row of the run, with its notes.

    Attributes:
        link: Leads to the cell's details.
        notebook: The executed notebook, as a link from the page; empty if there is none.
        note: The gravest change, in a word or two; empty if there is none.
        notes: The same by claim.
        name: The notebook's name, for people.
    """

    row: Row
    link: str
    notebook: str
    note: str
    notes: dict[str, str]
    name: str

    @property
    def worse(self) -> bool:
        return self.note == NOTES[Kind.REGRESSION]


def page(summary: Summary) -> str:
    """Render the page; the words of notebooks and servers become text only."""
    cells = _cells(summary)
    columns: dict[str, list[str]] = {}
    for row in summary.rows:
        if row.world not in columns.setdefault(row.endpoint, []):
            columns[row.endpoint].append(row.world)
    lines: dict[tuple[str, str], dict[tuple[str, str], Cell]] = {}
    for cell in cells:
        lines.setdefault((cell.row.notebook, cell.name), {})[cell.row.endpoint, cell.row.world] = (
            cell
        )
    return render(
        "stream_lab.regress",
        "page.html.j2",
        summary=summary,
        mark=summary.verdict.mark,
        tone=TONES[summary.verdict],
        when=moment(summary.started),
        moment=moment,
        groups=_groups(summary),
        come=[change.cell for change in summary.of(Kind.NEW)],
        gone=[change.cell for change in summary.of(Kind.GONE)],
        columns=columns,
        lines=[
            (name, by_place)
            for (_, name), by_place in sorted(lines.items(), key=lambda item: item[0][0])
        ],
        statuses=[status for status in Status if summary.count(status)],
        packages=_packages(summary),
        cells=cells,
    )


def moment(started: str) -> str:
    """Return a time in ISO format and UTC for people; leave other text alone."""
    day, t, time = started.partition("T")
    return f"{day} {time[:8]} UTC" if t else started


def name_of(row: Row) -> str:
    """Return a notebook's number, title and chosen parameters, for people."""
    number = row.number
    chosen = row.chosen
    title = f"{number} · {row.title}" if number[0].isdigit() else row.title
    return f"{title} [{chosen}]" if chosen else title


def _packages(summary: Summary) -> dict[str, list[str]]:
    """Return each package's version in each world; "–" where a world has none."""
    worlds = list(summary.worlds.values())
    return {
        name: [versions.get(name, "–") for versions in worlds]
        for name in PACKAGES
        if any(name in world for world in worlds)
    }


def _cells(summary: Summary) -> list[Cell]:
    by_cell: dict[str, list[Change]] = {}
    for change in summary.changes:
        by_cell.setdefault(change.cell, []).append(change)
    return [
        Cell(
            row=row,
            link=f"#{quote(row.cell)}",
            notebook=""
            if row.status in (Status.SKIPPED, Status.INFRA)
            else f"notebooks/{quote(row.cell)}.ipynb",
            note=_gravest(by_cell.get(row.cell, [])),
            notes={
                claim.text: _gravest(
                    [change for change in by_cell.get(row.cell, []) if change.claim == claim.text]
                )
                for claim in row.claims
            },
            name=name_of(row),
        )
        for row in summary.rows
    ]


def _gravest(changes: list[Change]) -> str:
    kinds = {change.kind for change in changes}
    return next((words for kind, words in NOTES.items() if kind in kinds), "")


def _groups(summary: Summary) -> list[Group]:
    rows = {row.cell: row for row in summary.rows}
    groups = []
    for kinds, title, meaning in GROUPS:
        changes = summary.of(*kinds)
        lines: dict[tuple[str, str, str, str], Line] = {}
        for change in changes:
            row = rows.get(change.cell)
            now = (
                f"passed when run once more; at first: {change.now}"
                if change.kind is Kind.FLAKY
                else change.now
            )
            key = (
                name_of(row) if row else change.cell,
                change.claim,
                now,
                "" if change.was == now else change.was,
            )
            place = Place(
                f"#{quote(change.cell)}", f"{row.endpoint} · {row.world}" if row else change.cell
            )
            lines.setdefault(key, Line(*key, [])).places.append(place)
        if changes:
            cells = len({change.cell for change in changes})
            grave = Kind.REGRESSION in kinds or Kind.UNKNOWN in kinds
            # By notebook; `sorted` keeps the order of the matrix among those of one.
            groups.append(
                Group(
                    title,
                    meaning,
                    sorted(lines.values(), key=lambda line: line.notebook),
                    len(changes),
                    cells,
                    grave,
                )
            )
    return groups
