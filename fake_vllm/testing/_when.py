"""Answers by script: `fake.when(...)` names requests, and `answer` or `play` what they get."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class When:
    """Requests that match some conditions, and what they get.

    The first rule that matches counts, in the order in which they were given.
    """

    def __init__(self, conditions: Mapping[str, Any], add: Callable[[bytes], None]) -> None:
        self._conditions = {name: what for name, what in conditions.items() if what is not None}
        self._add = add

    def answer(
        self,
        say: str | None = None,
        *,
        tool_calls: Sequence[Mapping[str, Any]] = (),
        reasoning: str | None = None,
        scenario: str | None = None,
    ) -> None:
        """Answer with given words.

        Args:
            say: the text. None: there is none.
            tool_calls: the tools to call: `{"name": ..., "arguments": {...}}` each, where JSON text
                in place of the object may be broken on purpose.
            reasoning: what the model thinks before it answers. None: nothing.
            scenario: how the answer is delivered. None: as the server delivers answers.

        Raises:
            FakeVllmError: a condition or a value is wrong.
        """
        effect = {
            "say": say,
            "tool_calls": list(tool_calls) or None,
            "reasoning": reasoning,
            "scenario": scenario,
        }
        given = {name: what for name, what in effect.items() if what is not None}
        self._add(json.dumps({**self._conditions, **given}).encode())

    def play(self, scenario: str) -> None:
        """Play a scenario, with the words that the model chooses.

        Raises:
            FakeVllmError: a condition or the scenario is wrong.
        """
        self._add(json.dumps({**self._conditions, "scenario": scenario}).encode())
