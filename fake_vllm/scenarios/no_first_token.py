from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Scenario, forever


@dataclass(frozen=True, config={"extra": "forbid"})
class NoFirstToken(Scenario):
    """Sends the response headers at once, then never a token: a prefill that does not end."""

    name = "no_first_token"

    async def before_token(self, call: Call, index: int) -> None:
        await forever()
