"""What a reader predicted and solved, kept in the course's folder and nowhere else."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from stream_lab.untrusted import read_json

MARKER = ".course"
"""The folder inside a copy of the course that holds the reader's progress."""


class State(StrEnum):
    """How far a reader has come with an exercise."""

    OPEN = "open"
    TRIED = "tried"
    SOLVED = "solved"


@dataclass
class Predicted:
    """One prediction.

    Attributes:
        question: The question.
        chosen: The reader's choice. None: there is none.
        happened: What the run showed. None: it has not been revealed.
        right: Whether the two agree. None: there is nothing to compare.
        why: The reason for what happened.
    """

    question: str
    chosen: str | None = None
    happened: str | None = None
    right: bool | None = None
    why: str = ""


@dataclass
class Tried:
    """One exercise: its state, and how many different wrong answers it has had."""

    state: State = State.OPEN
    wrong: int = 0


@dataclass
class Progress:
    """A reader's progress in one notebook, by the numbers of predictions and exercises."""

    predictions: dict[str, Predicted] = field(default_factory=dict)
    exercises: dict[str, Tried] = field(default_factory=dict)


class Store:
    """The progress in one notebook, with the file that keeps it.

    The file is read each time: a cell that opens the lesson may have run twice.
    """

    def __init__(self, notebook: str, folder: Path | None) -> None:
        """Open the progress.

        Args:
            notebook: The notebook's number, such as "05".
            folder: The course's folder of progress. None: nothing is kept on disk.
        """
        self._file = folder / "progress" / f"{notebook}.json" if folder else None
        self._memory = Progress()

    @property
    def progress(self) -> Progress:
        """Return what is in the file, or else what is kept in memory."""
        return read(self._file) if self._file else self._memory

    @property
    def kept(self) -> bool:
        """Whether the progress outlives this process, because this is a copy of the course."""
        return self._file is not None

    def keep(self, number: str, record: Predicted | Tried) -> None:
        """Keep one record, in memory if the folder cannot be written.

        Args:
            number: The number of the prediction or exercise, such as "1".
            record: The record, which replaces the former one.
        """
        progress = self._memory = self.progress
        if isinstance(record, Predicted):
            progress.predictions[number] = record
        else:
            progress.exercises[number] = record
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(".tmp")
            text = json.dumps(asdict(progress), indent=1, ensure_ascii=False)
            partial.write_text(text + "\n", encoding="utf-8")
            partial.replace(self._file)
        except OSError:
            self._file = None


def find_course(start: Path) -> Path | None:
    """Return the folder of progress for a folder. None: it is in no course."""
    for folder in (start, *start.parents):
        if (folder / MARKER).is_dir():
            return folder / MARKER
    return None


def read(file: Path) -> Progress:
    """Read a file of progress; one that is missing or damaged is a fresh start."""
    try:
        body = read_json(file.read_text(encoding="utf-8"))
        return Progress(
            {number: Predicted(**each) for number, each in body["predictions"].items()},
            {
                number: Tried(State(each["state"]), int(each["wrong"]))
                for number, each in body["exercises"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Progress()
