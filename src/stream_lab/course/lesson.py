"""A notebook as a lesson: its predictions, its exercises, and the reader's progress."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from stream_lab.course.exercise import Examined, Exercise, examine, find, fingerprint
from stream_lab.course.prediction import Prediction
from stream_lab.course.store import Predicted, State, Store, Tried, find_course
from stream_lab.untrusted import with_code

NOT_YET = "Not yet answered. Put your answer in the cell above, run it, then run this one."


class Lesson:
    """The predictions and exercises of one notebook.

    In a copy of the course (`make learn`) the reader's choices and answers are kept in its folder.
    Elsewhere they last as long as the kernel, and the predictions are shown as plain lists.
    """

    def __init__(self, notebook: str, *, folder: Path | None = None) -> None:
        """Open a lesson.

        Args:
            notebook: The notebook's number, as "05".
            folder: A folder of the course. None: the current one.
        """
        self.notebook = notebook
        self._store = Store(notebook, find_course((folder or Path.cwd()).absolute()))
        self._predictions: dict[str, Prediction] = {}
        self._answers: dict[str, str] = {}

    @property
    def interactive(self) -> bool:
        """Tell whether this is a copy of the course, where cells may show forms."""
        return self._store.kept

    def predict(self, number: str, question: str, choices: Mapping[str, object]) -> Prediction:
        """Ask for a prediction before the cell that shows what happens.

        Args:
            number: The prediction's number in this notebook, as "1".
            question: The question.
            choices: The choices as the reader sees them, each with the value that `reveal` gets if
                it is the one that happens.
        """
        kept = self._store.progress.predictions.get(number)
        chosen = kept.chosen if kept is not None and kept.question == question else None
        record = Predicted(question, chosen)
        keep = partial(self._store.keep, number, record)
        prediction = Prediction(number, choices, record, keep, interactive=self._store.kept)
        self._predictions[number] = prediction
        keep()
        return prediction

    def choose(self, number: str, letter: str) -> None:
        """Choose by letter, where there are no radio buttons.

        Raises:
            ValueError: No choice has this letter.
            LookupError: The notebook has not asked for this prediction.
        """
        if number not in self._predictions:
            raise LookupError(f"run the cell of prediction {number} first")
        self._predictions[number].choose(letter)

    async def check(self, number: str, answer: object, *context: Any) -> None:
        """Print whether an answer is right, and a hint if it is not.

        Args:
            number: The exercise's number in this notebook, as "1".
            answer: The reader's answer.
            context: What the checker needs from the run.
        """
        task = find(self.notebook, number)
        tried = self._store.progress.exercises.get(number, Tried())
        with _at_work(shown=self._store.kept):
            examined = await examine(task, answer, context)
        if examined.right:
            tried.state = State.SOLVED
        elif examined.given:
            if tried.state is not State.SOLVED:
                tried.state = State.TRIED
            mark = fingerprint(answer)
            tried.wrong += self._answers.get(number) != mark
            self._answers[number] = mark
        self._store.keep(number, tried)
        print(_words(task, examined, tried.wrong))

    def progress(self) -> "Summary":
        """Return the table that ends the notebook: predictions, exercises, and what is left."""
        return Summary(self._store)


@contextmanager
def _at_work(*, shown: bool) -> Iterator[None]:
    """Show that a check is at work; the result replaces the words."""
    if not shown or not _in_notebook():
        yield
        return
    print("Checking …")
    yield
    from IPython.display import clear_output

    clear_output(wait=True)  # type: ignore[no-untyped-call]


def _in_notebook() -> bool:
    """Return whether a notebook's kernel runs this code."""
    shell = sys.modules.get("IPython.core.interactiveshell")
    return shell is not None and bool(shell.InteractiveShell.initialized())


class Summary:
    """A reader's progress in a notebook, as a table."""

    def __init__(self, store: Store) -> None:
        self._progress = store.progress
        self._kept = store.kept

    def __repr__(self) -> str:
        lines = [
            f"{_mark(each)} {each.question} {each.happened or 'not revealed'}"
            for _, each in sorted(self._progress.predictions.items())
        ]
        lines += [
            f"exercise {number}: {each.state}"
            for number, each in sorted(self._progress.exercises.items())
        ]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        rows = [
            "| | prediction | you said | what happened | why |",
            "|---|---|---|---|---|",
            *(
                f"| {_mark(each)} | {_cell(each.question)} | {_cell(each.chosen or '–')} "
                f"| {with_code(each.happened or 'not revealed')} | {_cell(each.why)} |"
                for _, each in sorted(self._progress.predictions.items())
            ),
        ]
        exercises = sorted(self._progress.exercises.items())
        open_ones = [number for number, each in exercises if each.state is not State.SOLVED]
        said = "; ".join(f"exercise {number}: {each.state}" for number, each in exercises)
        rows += ["", f"{said.capitalize()}." if said else ""]
        if self._kept and open_ones:
            rows += ["", f"Left here: exercise {', '.join(open_ones)}."]
        return "\n".join(rows)


def _mark(each: Predicted) -> str:
    return {True: "✔", False: "✘", None: "–"}[each.right]


def _cell(text: str) -> str:
    r"""Return a notebook's own text for a table's cell; a bare `|` would end it."""
    return text.replace("|", r"\|")


def _words(task: Exercise, examined: Examined, wrong: int) -> str:
    """Return what is said about an answer: more with each different wrong one."""
    if not examined.given:
        return NOT_YET
    if examined.right:
        return "✔ That is right."
    said = [examined.message] if examined.message else []
    # A message that names the mistake stands in for the first hint.
    level = wrong - len(said)
    if level > 0:
        said.append(task.hints[level - 1] if level <= len(task.hints) else f"The idea: {task.idea}")
    return "\n".join(["✘ Not yet.", *said]) if len(said) != 1 else f"✘ Not yet. {said[0]}"
