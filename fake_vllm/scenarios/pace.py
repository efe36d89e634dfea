from dataclasses import replace
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from fake_vllm.engine.timing import Pace, timing
from fake_vllm.files import Files
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class SetPace(Scenario):
    """Sets other times than the server's, in milliseconds.

    They are `headers`, `first_token`, `gap`: 20, normal:20/5, lognormal:20/0.5 or trace:FILE.
    """

    only_delivers = True
    needs_model = True
    _samplers: ClassVar[dict[str, Any]]
    headers: str | None = None
    first_token: str | None = None
    gap: str | None = None

    def open(self, files: Files) -> None:
        stated = {"headers": self.headers, "first_token": self.first_token, "gap": self.gap}
        samplers = {name: timing(text, files) for name, text in stated.items() if text}
        object.__setattr__(self, "_samplers", samplers)

    def pace(self, pace: Pace) -> Pace:
        return replace(pace, **self._samplers)
