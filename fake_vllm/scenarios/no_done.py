from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, is_done
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class NoDone(Scenario):
    """Leaves out the `[DONE]`; the body ends as it should."""

    only_delivers = True

    def payloads(self, steps: Steps, response: Response) -> Steps:
        for at, data, tokens in steps:
            yield at, b"" if is_done(data) else data, tokens
