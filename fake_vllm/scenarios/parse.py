"""Scenarios as users write them: `stall:after=3`, `endless+stall:after=3,attempts=1`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from fake_vllm.files import ANY_FILE, FileRefusedError, Files
from fake_vllm.http.upload import Upload
from fake_vllm.scenarios import trigger
from fake_vllm.scenarios.base import Scenario, ScenarioError, Together
from fake_vllm.scenarios.finite import Finite
from fake_vllm.scenarios.registry import CLASSES, load
from fake_vllm.scenarios.trigger import Trigger
from fake_vllm.terminal import MOST_SAID, shortened

LONGEST: Final = 10_000  # characters; the ledger keeps the text of each request
LARGEST: Final = 1e12  # of all numbers: times, sizes and counts
MOST_PARTS: Final = 32
"""The parts of a scenario. Each is a layer of generators; some hundreds overflow the stack."""


class Part(NamedTuple):
    """One scenario of a text, and when it applies."""

    trigger: Trigger
    scenario: Scenario


@dataclass(frozen=True)
class ScenarioSpec:
    """The scenarios that one text names.

    Attributes:
        text: the text as it was written; attempts are counted by it.
        parts: its scenarios, in order.
    """

    text: str
    parts: Sequence[Part]

    @property
    def reads_requests(self) -> bool:
        """Tell whether a server that plays this reads from its connections."""
        return all(part.scenario.reads_requests for part in self.parts)

    @property
    def needs_model(self) -> str | None:
        """Return the part that needs the fake's own model. None: there is none."""
        texts = (text.strip() for text in _split(self.text, "+"))
        for text, part in zip(texts, self.parts, strict=True):
            if part.scenario.makes_text:
                return text
        return None

    @property
    def uploads(self) -> bool:
        """Tell whether it can change how a body is received."""
        return any(part.scenario.upload is not None for part in self.parts)

    def upload(self, attempt: int, number: int, seed: int) -> Upload | None:
        """Return the scenario that receives the body of one request. None: there is none."""
        for part in self.parts:
            if part.scenario.upload and part.trigger.applies(attempt, number, seed):
                return part.scenario.upload
        return None

    def select(
        self, attempt: int = 1, number: int = 1, seed: int = 0, usual: "ScenarioSpec | None" = None
    ) -> Scenario:
        """Return the scenario for one request.

        Args:
            attempt: the number of the request with this text, from 1.
            number: the number of the request to this server, from 1.
            seed: the server's seed, for chances.
            usual: what the server plays if this text names only a way to deliver. None: `finite`.
        """
        parts = [
            part.scenario for part in self.parts if part.trigger.applies(attempt, number, seed)
        ]
        if all(part.only_delivers for part in parts):
            parts.insert(0, Finite() if usual is None else usual.select(attempt, number, seed))
        return parts[0] if len(parts) == 1 else Together(parts)


def parse(text: str, files: Files = ANY_FILE) -> ScenarioSpec:
    """Read `name`, `name:parameter=value,parameter=value`, or several joined by `+`.

    A value in double quotes may contain `,` and `+`; in it, `\\"` is a quote. Besides its own
    parameters, each scenario takes those of `Trigger`: attempts, requests, chance.

    Args:
        text: the text.
        files: the files that it may name.

    Raises:
        ScenarioError: a name or a parameter is unknown, or a value is wrong.
    """
    if len(text) > LONGEST:
        raise ScenarioError(
            f"A scenario has at most {LONGEST} characters; this one has {len(text)}."
        )
    parts = _split(text, "+")
    if len(parts) > MOST_PARTS:
        raise ScenarioError(
            f"A scenario has at most {MOST_PARTS} parts; this one has {len(parts)}."
        )
    return ScenarioSpec(text, [_part(part, files) for part in parts])


def _part(text: str, files: Files) -> Part:
    name, _, rest = text.partition(":")
    name = name.strip()
    if name not in CLASSES:
        raise ScenarioError(
            f"There is no scenario '{shortened(name)}'. {_instead(name, CLASSES, 'There are')}"
        )
    scenario = load(name)
    given = [_pair(pair) for pair in _split(rest, ",") if pair]
    pairs = dict(given)
    if len(pairs) < len(given):
        twice = next(key for key, _ in given if sum(other == key for other, _ in given) > 1)
        raise ScenarioError(
            f"Scenario '{name}': the parameter '{shortened(twice)}' is given twice."
        )
    own = [field.name for field in fields(scenario)]  # type: ignore[arg-type]
    try:
        when = Trigger.parse(pairs, own)
    except ValueError as error:
        raise ScenarioError(f"Scenario '{name}': {shortened(str(error), MOST_SAID)}.") from None
    for key in pairs:
        if key not in own:
            known = [*own, *trigger.KEYS]
            raise ScenarioError(
                f"Scenario '{name}' has no parameter '{shortened(key)}'. "
                f"{_instead(key, known, 'It has')}"
            )
    return Part(when, _make(name, scenario, pairs, files))


def _split(text: str, mark: str) -> list[str]:
    """Split a text at a mark, except inside of quotes.

    Raises:
        ScenarioError: a quote is open at the end.
    """
    if '"' not in text:
        return text.split(mark)
    parts, quoted, escaped = [""], False, False
    for letter in text:
        if letter == mark and not quoted:
            parts.append("")
            continue
        parts[-1] += letter
        quoted ^= letter == '"' and not escaped
        escaped = letter == "\\" and not escaped and quoted
    if quoted:
        raise ScenarioError(
            f"In the scenario '{shortened(text)}', a quote is opened and not closed."
        )
    return parts


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    value = value.strip() if value.lstrip().startswith('"') else value
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return key.strip(), value


def _make(name: str, scenario: type[Scenario], pairs: dict[str, Any], files: Files) -> Scenario:
    try:
        made = scenario(**pairs)
        made.open(files)
    except ValidationError as error:
        first = error.errors()[0]
        said = shortened(first["msg"].removeprefix("Value error, "), MOST_SAID).rstrip(".")
        where = "".join(f"{place}: " for place in first["loc"])
        raise ScenarioError(f"Scenario '{name}': {where}{said}.") from None
    except (FileRefusedError, ValueError) as error:
        said = shortened(str(error), MOST_SAID).rstrip(".")
        raise ScenarioError(f"Scenario '{name}': {said}.") from None
    for key, value in vars(made).items():
        if isinstance(value, int | float) and abs(value) > LARGEST:
            raise ScenarioError(f"Scenario '{name}': {key}: a number is at most {LARGEST:.0e}.")
    return made


def _instead(name: str, known: Iterable[str], lead: str) -> str:
    near = get_close_matches(shortened(name), list(known), n=3)
    return f"Did you mean {' or '.join(near)}?" if near else f"{lead}: {', '.join(known)}."
