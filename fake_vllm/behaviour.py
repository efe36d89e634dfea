"""What a server plays: its scenario and its rules, which can change while it runs."""

import re
from pathlib import Path

from fake_vllm.model import Phrase, Recorded, Source
from fake_vllm.rules import Rule, Rulebook
from fake_vllm.scenarios import ScenarioSpec, parse
from fake_vllm.settings import SettingsError

SCENARIO_HEADER = "x-fake-scenario"


class Behaviour:
    """What the server plays: a scenario and rules, which control routes change.

    Attributes:
        spec: the scenario of requests that name none.
        rulebook: the rules for some requests.
    """

    def __init__(self, scenario: str, rules: tuple[Rule, ...]) -> None:
        self._scenario, self._rules = scenario, rules
        self.reset()

    def reset(self) -> None:
        """Go back to the scenario and the rules that the server was started with."""
        self.spec: ScenarioSpec = parse(self._scenario)
        self.rulebook = Rulebook(self._rules)

    def set_rules(self, rules: tuple[Rule, ...]) -> None:
        """Replace the rules."""
        self.rulebook = Rulebook(rules)


def text_source(file: Path | None, phrase: str | None) -> Source | None:
    """Return the source of free text. None: the plan's own.

    Args:
        file: a file with the text that the model says. None: there is none.
        phrase: a phrase that it repeats. None: there is none.

    Raises:
        SettingsError: the file cannot be read.
    """
    if phrase is not None:
        return Phrase(phrase)
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"Cannot read {file}: {reason}.") from None
    return Recorded(tuple(re.findall(r"\s*\S+|\s+", text)))
