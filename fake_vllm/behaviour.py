"""What a server plays: its scenario and its rules, which can change while it runs."""

import re
from pathlib import Path

from fake_vllm.files import ANY_FILE, Files
from fake_vllm.model import Phrase, Recorded, Source
from fake_vllm.rules import Rule, Rulebook
from fake_vllm.scenarios import ScenarioError, ScenarioSpec, parse
from fake_vllm.settings import SettingsError

SCENARIO_FIELD = "fake_scenario"
SCENARIO_HEADER = "x-fake-scenario"


NEEDS_MODEL = (
    "The scenario '{name}' needs the fake's own model, and here another server answers. Choose one "
    "that changes how an answer is delivered; `fake-vllm scenarios --json` marks those with "
    "before_upstream."
)
NO_WORDS = (
    "A rule with say, tool_calls or reasoning needs the fake's own model, and here another server "
    "answers. Give the rule only a scenario."
)


class Behaviour:
    """What the server plays: a scenario and rules, which control routes change.

    Attributes:
        spec: the scenario of requests that name none.
        rulebook: the rules for some requests.
    """

    def __init__(self, scenario: str, rules: tuple[Rule, ...], *, has_model: bool = True) -> None:
        """Begin with a scenario and rules.

        Args:
            scenario: the scenario's text.
            rules: the rules.
            has_model: whether the fake's own model answers, and not another server.

        Raises:
            ScenarioError: a scenario needs the fake's own model.
        """
        self._has_model = has_model
        self._first, self._rules = self.parse(scenario, ANY_FILE), rules
        self.reset()

    def parse(self, text: str, files: Files) -> ScenarioSpec:
        """Return the scenario of a text.

        Args:
            text: the text.
            files: the files that it may name.

        Raises:
            ScenarioError: it is unknown or wrong, or needs the fake's own model.
        """
        return self._fitting(parse(text, files))

    def _fitting(self, spec: ScenarioSpec) -> ScenarioSpec:
        if not self._has_model and (name := spec.needs_model):
            raise ScenarioError(NEEDS_MODEL.format(name=name))
        return spec

    def reset(self) -> None:
        """Go back to the scenario and the rules that the server was started with."""
        self.spec = self._first
        self.set_rules(self._rules)

    def set_rules(self, rules: tuple[Rule, ...]) -> None:
        """Replace the rules.

        Raises:
            ScenarioError: a rule needs the fake's own model.
        """
        for rule in rules:
            if rule.spec is not None:
                self._fitting(rule.spec)
            if rule.speaks and not self._has_model:
                raise ScenarioError(NO_WORDS)
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
    if not text:
        raise SettingsError(f"{file} is empty; write a text into it, or leave out --text.")
    return Recorded(tuple(re.findall(r"\s*\S+|\s+", text)))
