from typing import Literal

from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Stale(Scenario):
    """Answers as usual, but ends the kept connection just as its next request arrives.

    `how` is reset (RST) or close (FIN), as when an idle time has just passed.
    """

    only_delivers = True
    how: Literal["reset", "close"] = "reset"

    def before(self, response: Response) -> None:
        response.exchange.goes_stale(self.how)
