from pydantic.dataclasses import dataclass

from fake_vllm.api import DONE
from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps


@dataclass(frozen=True, config=STRICT)
class NoDone(Scenario):
    """Leaves out the `[DONE]`; the body ends as it should."""

    name = "no_done"
    only_delivers = True

    def payloads(self, steps: Steps, call: Call) -> Steps:
        for at, data, tokens in steps:
            yield at, b"" if data == DONE else data, tokens
