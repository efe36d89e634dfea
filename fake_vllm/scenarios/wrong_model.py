from pydantic.dataclasses import dataclass

from fake_vllm.api import dumps
from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps


@dataclass(frozen=True, config=STRICT)
class WrongModel(Scenario):
    """Answers in the name of another model, `model` ("another-model"), as a gateway that routes to the wrong one."""

    name = "wrong_model"
    only_delivers = True
    model: str = "another-model"

    def payloads(self, steps: Steps, call: Call) -> Steps:
        asked, other = (b'"model":' + dumps(name) for name in (call.model, self.model))
        for at, data, tokens in steps:
            changed = data.replace(asked, other, 1)
            call.length += len(changed) - len(data) if not call.stream else 0
            yield at, changed, tokens
