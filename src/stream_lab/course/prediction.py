"""A prediction: a question with choices before the cell that shows what happens."""

import re
from collections.abc import Callable, Mapping
from html import escape
from string import ascii_lowercase
from typing import Any

from stream_lab.course.store import Predicted
from stream_lab.experiment.evidence import Unknown
from stream_lab.untrusted import in_markdown, one_line


class Prediction:
    """A question, its choices, and the reader's choice; a notebook shows it as radio buttons.

    Where the buttons cannot be shown, it is a list, and `lesson.choose` takes the letter.
    """

    def __init__(
        self,
        number: str,
        choices: Mapping[str, object],
        record: Predicted,
        save: Callable[[], None],
        *,
        interactive: bool,
    ) -> None:
        """Make a prediction.

        Args:
            number: Its number in the notebook, as "1".
            choices: The choices as the reader sees them, each with the value that `reveal` is
                given if it is the one that happens.
            record: Where the choice is kept.
            save: Called after each change of it.
            interactive: Whether the reader is asked, in a copy of the course.

        Raises:
            ValueError: There are fewer than two choices, or two with the same value.
        """
        if len(choices) < 2 or len({str(value) for value in choices.values()}) < len(choices):
            raise ValueError("a prediction needs two choices or more, each with a value of its own")
        self.number = number
        self._choices = dict(choices)
        self._record = record
        self._save = save
        self._interactive = interactive
        if record.chosen not in self._choices:
            record.chosen = None

    def choose(self, letter: str) -> None:
        """Keep the choice with this letter.

        Raises:
            ValueError: No choice has this letter.
        """
        letters = ascii_lowercase[: len(self._choices)]
        if len(letter) != 1 or letter not in letters:
            raise ValueError(f"choose one of {', '.join(letters)}")
        self._keep(list(self._choices)[letters.index(letter)])

    def reveal(self, happened: object, *, why: str) -> "Reveal":
        """Compare the prediction with what the run showed.

        Args:
            happened: The value of the choice that happened.
            why: The reason, in a sentence or two.
        """
        record = self._record
        by_value = {str(value): text for text, value in self._choices.items()}
        record.happened = by_value.get(str(happened), one_line(happened, None))
        # What was not offered is likely to be the machine's fault, and no prediction's.
        offered = str(happened) in by_value
        scored = offered and not isinstance(happened, Unknown)
        record.right = record.chosen == record.happened if record.chosen and scored else None
        record.why = why if offered else f"What usually happens: {why}"
        self._save()
        return Reveal(record, asked=self._interactive, offered=offered)

    def _keep(self, text: str | None) -> None:
        self._record.chosen = text
        self._save()

    def __repr__(self) -> str:
        lines = [self._record.question]
        lines += [
            f"  {letter}) {text}"
            for letter, text in zip(ascii_lowercase, self._choices, strict=False)
        ]
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        markdown = self._as_list()
        buttons = self._buttons() if self._interactive else None
        if buttons is None:
            return {"text/plain": repr(self), "text/markdown": markdown}
        return {**buttons, "text/plain": repr(self), "text/markdown": markdown}

    def _as_list(self) -> str:
        lines = [f"**Predict first.** {self._record.question}", ""]
        lines += [
            f"- {letter}) {text}"
            for letter, text in zip(ascii_lowercase, self._choices, strict=False)
        ]
        if self._interactive:
            lines += ["", f'Choose in a cell of your own: `lesson.choose("{self.number}", "a")`.']
        return "\n".join(lines)

    def _buttons(self) -> dict[str, Any] | None:
        """Return the radio buttons as a widget's bundle. None: widgets are not installed."""
        try:
            from ipywidgets import HTML, Layout, RadioButtons, VBox
        except ImportError:
            return None
        asked = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(self._record.question))
        question = HTML(f"<b>Predict first.</b> {asked}")
        buttons = RadioButtons(
            options=[(text.replace("`", ""), text) for text in self._choices],
            value=self._record.chosen,
            layout=Layout(width="auto"),
        )
        buttons.observe(lambda change: self._keep(change["new"]), names="value")
        bundle: dict[str, Any] = VBox([question, buttons])._repr_mimebundle_()
        return bundle


class Reveal:
    """What happened, beside what was predicted."""

    def __init__(self, record: Predicted, *, asked: bool, offered: bool) -> None:
        self._record = record
        self._asked = asked
        self._offered = offered

    def __repr__(self) -> str:
        record = self._record
        if not self._offered:
            return (
                f"What happened: {record.happened}. That is none of the choices. If this machine "
                f"is busy, run the cells again from the question on. {record.why}"
            )
        happened = f"What happened: {record.happened}."
        if record.right:
            return f"✔ You predicted it. {happened} {record.why}"
        if record.right is False:
            return f"✘ You predicted: {record.chosen}. {happened} {record.why}"
        missing = "You made no prediction. " if self._asked and record.chosen is None else ""
        return f"{missing}{happened} {record.why}"

    def _repr_markdown_(self) -> str:
        happened = self._record.happened or ""
        # A choice is the notebook's own text; anything else may be a server's.
        shown = happened if self._offered else in_markdown(happened)
        return repr(self).replace(f"What happened: {happened}.", f"**What happened: {shown}.**")
