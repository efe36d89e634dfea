"""A notebook's evidence as data: claims of the story and findings of the run."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_lab.experiment.versions import imported
from stream_lab.untrusted import in_markdown, one_line, read_json, with_code

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FOLDER_VARIABLE = "STREAM_LAB_EVIDENCE"


class Outcome(StrEnum):
    """Whether a claim came out as the story tells it."""

    AS_TOLD = "as told"
    NOT_AS_TOLD = "not as told"
    NOT_SHOWN = "not shown"

    @property
    def mark(self) -> str:
        return {"as told": "✔", "not as told": "✘", "not shown": "?"}[self]


LEGEND = {
    Outcome.NOT_AS_TOLD: "✘ This run showed something else.",
    Outcome.NOT_SHOWN: "? Something came first, so this run could not show it. Run it again.",
}
"""What a table's marks mean, where they are not ✔."""


class Unknown(str):
    """A finding that neither supports nor refutes a claim."""


@dataclass(frozen=True)
class Claim:
    """One line of a notebook's table.

    Attributes:
        text: the claim.
        expected: the story's word, such as "stopped at the deadline".
        found: the run's word.
        outcome: whether the two agree.
    """

    text: str
    expected: str
    found: str
    outcome: Outcome

    def _ipython_display_(self) -> None:
        """Show nothing where a cell ends with a claim, since the table shows them all."""


class Evidence:
    """The claims of one notebook, and the numbers behind them.

    While the kit runs notebooks, each finding is written at once to a file of its own, so that a
    broken run keeps its earlier findings. The runner names the folder in the environment.
    """

    def __init__(self, notebook: str) -> None:
        self.notebook = notebook
        self.claims: list[Claim] = []
        self.numbers: dict[str, Any] = {}
        self._complete = False
        folder = os.environ.get(FOLDER_VARIABLE)
        self._file = Path(folder) / f"{notebook}.json" if folder else None
        self._save()

    def claim(self, text: str, *, expected: object, found: object) -> Claim:
        """Compare a finding with the story, and keep the result.

        A cell that runs again replaces its claims.
        """
        if isinstance(found, Unknown):
            outcome = Outcome.NOT_SHOWN
        else:
            outcome = Outcome.AS_TOLD if str(found) == str(expected) else Outcome.NOT_AS_TOLD
        claim = Claim(text, str(expected), str(found), outcome)
        same = next((at for at, each in enumerate(self.claims) if each.text == text), None)
        if same is None:
            self.claims.append(claim)
        else:
            self.claims[same] = claim
        self._save()
        return claim

    def number(self, name: str, value: float) -> None:
        """Keep a measured value for the report.

        Numbers differ from run to run and are never part of a verdict.
        """
        self.numbers[name] = round(value, 4)
        self._save()

    def table(self) -> "Table":
        """Return the table that ends a notebook, and declare the notebook complete."""
        self._complete = True
        self._save()
        return Table(self.claims, seed_world().get(self.notebook, {}))

    def _save(self) -> None:
        if self._file is None:
            return
        body = {
            "notebook": self.notebook,
            "complete": self._complete,
            "claims": [asdict(c) for c in self.claims],
            "numbers": self.numbers,
            "imported": imported(),
        }
        partial = self._file.with_suffix(".tmp")
        partial.write_text(json.dumps(body, indent=1, ensure_ascii=False), encoding="utf-8")
        partial.replace(self._file)


@dataclass(frozen=True)
class Found:
    """The content of a notebook's evidence file; empty where there is none.

    Attributes:
        claims: the lines of the table.
        numbers: measured values by name.
        imported: versions by package, and the version of `python`.
        complete: whether the notebook reached its table.
    """

    claims: list[Claim] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def lacking(self) -> str:
        """Return why this is not the evidence of a whole run. Empty: it is."""
        return (
            "it did not get to its table of claims"
            if not self.complete
            else "it made no claim"
            if not self.claims
            else ""
        )


def read(file: Path) -> Found:
    """Read a notebook's evidence file; a file that is not one is empty.

    Any notebook can write the file, and its claims go into reports and the history.
    """
    try:
        return _found().validate_python(read_json(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return Found()


@cache
def _found() -> "TypeAdapter[Found]":
    from pydantic import (
        TypeAdapter,
    )  # slow to import, and missing where a notebook runs in a browser

    return TypeAdapter(Found)


class Table:
    """Claims as a table, in a notebook and in plain text.

    Beside this run stands what the notebook showed with the versions of the incident, as it was
    recorded by `tools/seed_world.py`.
    """

    def __init__(self, claims: list[Claim], seed: Mapping[str, str]) -> None:
        self._claims = list(claims)
        self._seed = seed

    def __repr__(self) -> str:
        return "\n".join(
            f"{claim.outcome.mark} {one_line(f'{claim.text}: {claim.found}', None)}"
            for claim in self._claims
        )

    def _repr_markdown_(self) -> str:
        head = ["", "claim", "this run", *(["with the incident's versions"] if self._seed else [])]
        rows = [
            [
                claim.outcome.mark,
                with_code(claim.text),
                in_markdown(claim.found),
                *([in_markdown(self._seed.get(claim.text, "–"))] if self._seed else []),
            ]
            for claim in self._claims
        ]
        lines = [head, ["---"] * len(head), *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        marks = {claim.outcome for claim in self._claims}
        legend = [words for outcome, words in LEGEND.items() if outcome in marks]
        return "\n\n".join([table, *legend])


@cache
def seed_world() -> dict[str, dict[str, str]]:
    """Return what the versions of the incident showed: findings by claim, by notebook."""
    file = files("stream_lab.experiment") / "seed_world.json"
    found: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    return found
