from dataclasses import replace
from functools import cached_property
from typing import Any

from pydantic.dataclasses import dataclass

from fake_vllm.engine.timing import Pace, timing
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class SetPace(Scenario):
    """Sets other times than the server's, in milliseconds.

    They are `headers`, `first_token`, `gap`: 20, normal:20/5, lognormal:20/0.5 or trace:FILE.
    """

    only_delivers = True
    needs_model = True
    headers: str | None = None
    first_token: str | None = None
    gap: str | None = None

    def __post_init__(self) -> None:
        _ = self._samplers  # a wrong timing is reported when the scenario is parsed

    def pace(self, pace: Pace) -> Pace:
        return replace(pace, **self._samplers)

    @cached_property
    def _samplers(self) -> dict[str, Any]:
        stated = {"headers": self.headers, "first_token": self.first_token, "gap": self.gap}
        return {name: timing(text) for name, text in stated.items() if text}
