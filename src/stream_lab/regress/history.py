"""Every finished run, in a SQLite file: for trends, and as a baseline."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from stream_lab.errors import LabError
from stream_lab.experiment.evidence import Claim, Outcome
from stream_lab.notebooks.row import Attempt, Row, Status
from stream_lab.regress.compare import Baseline
from stream_lab.regress.summary import Summary, Verdict
from stream_lab.untrusted import one_line, read_json

TABLES = """
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, started TEXT, seconds REAL, verdict TEXT,
  headline TEXT, against TEXT, place TEXT, code TEXT, commit_ TEXT, outputs TEXT);
CREATE TABLE IF NOT EXISTS rows (run TEXT, cell TEXT, endpoint TEXT, world TEXT, notebook TEXT,
  title TEXT, parameters TEXT, status TEXT, reason TEXT, by_claims INTEGER, seconds REAL,
  earlier TEXT, load REAL, jobs INTEGER, imported TEXT, PRIMARY KEY (run, cell));
CREATE TABLE IF NOT EXISTS claims (run TEXT, cell TEXT, place INTEGER, claim TEXT, expected TEXT,
  found TEXT, outcome TEXT, PRIMARY KEY (run, cell, place));
CREATE TABLE IF NOT EXISTS numbers (run TEXT, cell TEXT, name TEXT, value REAL,
  PRIMARY KEY (run, cell, name));
"""
_EARLIER = TypeAdapter(list[Attempt])
BUSY = 30.0
"""Seconds to wait for another process that is writing."""


class HistoryError(LabError):
    """Raised when the history cannot be read or written; the text says why."""


@dataclass(frozen=True)
class Past:
    """A run of the history, with its rows."""

    run: str
    started: str
    seconds: float
    verdict: Verdict
    headline: str
    against: str
    code: str
    commit: str
    outputs: str
    rows: list[Row]


_PAST = TypeAdapter(Past)


class History:
    """The history's file, which the first run makes."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, summary: Summary, outputs: str) -> None:
        """Add a run; replace its earlier entry if it was resumed."""
        run = summary.run
        with self._open(make=True) as base, base:
            for table in ("runs", "rows", "claims", "numbers"):
                base.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
            base.execute(
                "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?)",
                (run, summary.started, summary.seconds, summary.verdict, summary.headline,
                 summary.against, summary.where, summary.code, summary.commit, outputs),
            )  # fmt: skip
            for row in summary.rows:
                base.execute(
                    "INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (run, row.cell, row.endpoint, row.world, row.notebook, row.title,
                     json.dumps(row.parameters), row.status, row.reason, row.by_claims, row.seconds,
                     _EARLIER.dump_json(row.earlier).decode(), row.load, row.jobs,
                     json.dumps(row.imported)),
                )  # fmt: skip
                base.executemany(
                    "INSERT INTO claims VALUES (?,?,?,?,?,?,?)",
                    [
                        (run, row.cell, n, c.text, c.expected, c.found, c.outcome)
                        for n, c in enumerate(row.claims)
                    ],
                )
                base.executemany(
                    "INSERT INTO numbers VALUES (?,?,?,?)",
                    [(run, row.cell, k, v) for k, v in row.numbers.items()],
                )

    def last(self, most: int = 30) -> list[Past]:
        """Return the newest runs, the oldest of them first."""
        with self._open() as base:
            found = base.execute(
                "SELECT * FROM runs ORDER BY started DESC, run DESC LIMIT ?", (most,)
            ).fetchall()
            return [self._past(base, run) for run in reversed(found)]

    def run(self, name: str) -> Past | None:
        """Return a run by its name; None if there is none."""
        with self._open() as base:
            found = base.execute("SELECT * FROM runs WHERE run = ?", (name,)).fetchone()
            return self._past(base, found) if found is not None else None

    def last_good(self, cells: list[str], but: str = "") -> Baseline | None:
        """Return each cell's newest row of a good run.

        Other runs do not count, so that a regression stays one until it is mended, or accepted as a
        baseline.

        Args:
            cells: Names of the cells.
            but: A run to leave out.

        Returns:
            The baseline; None if no cell has a row.
        """
        with self._open() as base:
            found = base.execute(
                "SELECT * FROM runs WHERE verdict = ? AND run != ? ORDER BY started DESC, run DESC "
                "LIMIT 100",
                (Verdict.AS_EXPECTED, but),
            ).fetchall()
            rows: dict[str, Row] = {}
            newest = ""
            for run in found:
                for row in self._past(base, run).rows if not set(cells) <= set(rows) else []:
                    if row.cell in cells and row.cell not in rows:
                        rows[row.cell] = row
                        newest = newest or run["run"]
        return (
            Baseline(f"the last good run of each cell (newest: {newest})", rows) if rows else None
        )

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each cell's last pass."""
        with self._open() as base:
            found = base.execute(
                "SELECT cell, rows.seconds FROM rows JOIN runs USING (run) WHERE status = 'pass' "
                "ORDER BY started"
            ).fetchall()
        return {row["cell"]: row["seconds"] for row in found}

    @contextmanager
    def _open(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if make:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            place = str(self.file) if make or self.file.exists() else ":memory:"
            with closing(sqlite3.connect(place, timeout=BUSY)) as base:
                base.row_factory = sqlite3.Row
                base.executescript(TABLES)
                yield base
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(
                f"The history {self.file} cannot be used: {error}; name another file with "
                "`history`."
            ) from None

    def _past(self, base: sqlite3.Connection, run: sqlite3.Row) -> Past:
        """Return a run with its rows.

        Raises:
            HistoryError: A value is not of the type that this version writes.
        """
        try:
            return _PAST.validate_python(asdict(self._as_found(base, run)))
        except (ValueError, TypeError):
            raise HistoryError(
                f"The history {self.file} has values that this version cannot read, in the run "
                f"{one_line(run['run'])}; name another file with `history`."
            ) from None

    def _as_found(self, base: sqlite3.Connection, run: sqlite3.Row) -> Past:
        name = run["run"]
        claims: dict[str, list[Claim]] = {}
        for found in base.execute("SELECT * FROM claims WHERE run = ? ORDER BY place", (name,)):
            claim = Claim(
                found["claim"], found["expected"], found["found"], Outcome(found["outcome"])
            )
            claims.setdefault(found["cell"], []).append(claim)
        numbers: dict[str, dict[str, float]] = {}
        for found in base.execute("SELECT * FROM numbers WHERE run = ?", (name,)):
            if found["value"] is not None:  # SQLite keeps NaN as NULL
                numbers.setdefault(found["cell"], {})[found["name"]] = found["value"]
        rows = [
            Row(
                cell=found["cell"],
                endpoint=found["endpoint"],
                world=found["world"],
                notebook=found["notebook"],
                title=found["title"],
                parameters=read_json(found["parameters"]),
                status=Status(found["status"]),
                reason=found["reason"],
                by_claims=bool(found["by_claims"]),
                claims=claims.get(found["cell"], []),
                numbers=numbers.get(found["cell"], {}),
                seconds=found["seconds"],
                imported=read_json(found["imported"]),
                earlier=_EARLIER.validate_json(found["earlier"]),
                load=found["load"],
                jobs=found["jobs"],
            )
            for found in base.execute("SELECT * FROM rows WHERE run = ? ORDER BY rowid", (name,))
        ]
        return Past(
            name, run["started"], run["seconds"], Verdict(run["verdict"]), run["headline"],
            run["against"], run["code"], run["commit_"], run["outputs"], rows,
        )  # fmt: skip


def baseline_of(past: Past) -> Baseline:
    """Return a run of the history as a baseline."""
    return Baseline(f"the run {past.run}", {row.cell: row for row in past.rows})
