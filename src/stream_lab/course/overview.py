"""A reader's progress through the whole course, read from a copy of it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stream_lab.course.store import MARKER, State, find_course, read
from stream_lab.errors import LabError
from stream_lab.untrusted import one_line, read_json


class NoCourse(LabError):
    """Raised for a folder that is no copy of the course."""


@dataclass(frozen=True)
class Line:
    """The progress in one notebook.

    Attributes:
        number: The notebook's number.
        title: Its title in the learner edition.
        predictions: How many predictions it asks for.
        predicted: How many were made.
        right: How many of those came true.
        exercises: The numbers of its exercises, with the state of each.
    """

    number: str
    title: str
    predictions: int
    predicted: int
    right: int
    exercises: dict[str, State]

    @property
    def solved(self) -> int:
        """How many exercises are solved."""
        return sum(state is State.SOLVED for state in self.exercises.values())

    @property
    def left(self) -> str:
        """What is left to do; empty if nothing is."""
        missing = self.predictions - self.predicted
        parts = [_count(missing, "prediction")] if missing > 0 else []
        if names := self.unsolved:
            parts.append(f"exercise{'s' if len(names) > 1 else ''} {', '.join(names)}")
        return "; ".join(parts)

    @property
    def unsolved(self) -> list[str]:
        """The names of the exercises that are not solved."""
        return [name for name, state in self.exercises.items() if state is not State.SOLVED]

    def as_dict(self) -> dict[str, Any]:
        """Return the line as JSON has it."""
        return {**asdict(self), "solved": self.solved, "left": self.left}


class NoTour(LabError):
    """Raised for a tour that the course lacks."""


def overview(folder: Path, tour: str | None = None) -> list[Line]:
    """Return the progress in each notebook of the course or of a tour.

    Args:
        folder: The copy of the course, a folder inside it, or the folder that `make learn` made it
            in.
        tour: The name of a tour, of which only the notebooks count; None: the whole course.

    Raises:
        NoCourse: There is no copy of the course.
        NoTour: The course has no such tour.
    """
    course = find_course(folder.absolute()) or find_course((folder / "learn").absolute())
    try:
        if course is None:
            raise FileNotFoundError
        table = read_json((course / "contents.json").read_text(encoding="utf-8"))
        lines = [_line(course, chapter) for chapter in table]
        if tour is None:
            return lines
        tours = read_json((course / "tours.json").read_text(encoding="utf-8"))
        order = [str(number) for number in tours.get(tour, ())]
        names = ", ".join(tours)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise NoCourse(
            f"There is no copy of the course in {folder} (no folder {MARKER}); make learn makes "
            "one, or name its folder."
        ) from None
    if not order:
        raise NoTour(f"The course has no tour '{tour}'; there are: {names}.")
    return sorted(
        (line for line in lines if line.number in order), key=lambda line: order.index(line.number)
    )


def _line(course: Path, chapter: dict[str, Any]) -> Line:
    number = chapter["number"]
    progress = read(course / "progress" / f"{number}.json")
    made = [progress.predictions.get(each) for each in chapter["predictions"]]
    states = {
        str(each): tried.state if (tried := progress.exercises.get(each)) else State.OPEN
        for each in chapter["exercises"]
    }
    return Line(
        one_line(number),
        one_line(chapter["title"]),
        len(made),
        sum(each is not None and each.chosen is not None for each in made),
        sum(each is not None and each.right is True for each in made),
        states,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
