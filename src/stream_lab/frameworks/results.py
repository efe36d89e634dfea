"""Results on disk: one JSON file, in which a framework's newest row replaces its last."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_lab.data_folders import EVIDENCE, data_folder
from stream_lab.errors import LabError
from stream_lab.frameworks.playing import Watch
from stream_lab.frameworks.registry import registry
from stream_lab.frameworks.survey import Row
from stream_lab.untrusted import one_line, read_json

FILE = "evidence/frameworks/results.json"


class ResultsError(LabError):
    """Raised when the file of results cannot be read or written."""


def as_json(rows: dict[str, Row], watch: Watch) -> str:
    """Return the results as JSON."""
    given: dict[str, Any] = {
        "timeout": watch.timeout,
        "watched": watch.length,
        "pause": watch.pause,
        "frameworks": {name: row.as_json() for name, row in rows.items()},
    }
    return json.dumps(given, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Recorded:
    """Results with the way in which they were watched."""

    rows: dict[str, Row]
    watch: Watch

    @property
    def day(self) -> str:
        """Return the day of the newest row, as "2026-11-27"."""
        return max(row.day for row in self.rows.values())


def read(folder: Path) -> dict[str, Row]:
    """Return the rows of a checkout's file of results; none, if it has no file.

    Raises:
        ResultsError: the file is not one of results.
    """
    file = folder / FILE
    return _read(file).rows if file.exists() else {}


def recorded() -> Recorded:
    """Return the results that the package carries.

    Raises:
        DataError: the installation lacks its evidence.
        ResultsError: the file is not one of results.
    """
    return _read(data_folder(EVIDENCE) / "frameworks" / "results.json")


def _read(file: Path) -> Recorded:
    try:
        found = read_json(file.read_text(encoding="utf-8"))
        rows = {name: Row.from_json(each) for name, each in found["frameworks"].items()}
        return Recorded(merge({}, rows), Watch(found["timeout"], found["watched"], found["pause"]))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ResultsError(f"{file} cannot be read as results: {one_line(error)}.") from None


def merge(old: dict[str, Row], new: dict[str, Row]) -> dict[str, Row]:
    """Return all rows in the registry's order; frameworks that left it are left out."""
    both = {**old, **new}
    return {name: both[name] for name in registry().frameworks if name in both}
