from http.client import responses

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Failure, Scenario

MESSAGES = {429: "Rate limit exceeded. Please try again later.", 503: "The server is overloaded. Please try again later."}


@dataclass(frozen=True, config={"extra": "forbid"})
class Refuse(Scenario):
    """Answers the first `times` (1; 0: all) requests with `status` (503), and with `retry_after` seconds if given.

    Counted are requests with the same scenario text, since the ledger was cleared; `key` makes two texts differ.
    """

    name = "refuse"
    only_delivers = True
    status: int = Field(503, ge=400, le=599)
    retry_after: float | None = Field(None, ge=0)
    times: int = Field(1, ge=0)
    key: str = ""

    async def before_answer(self, call: Call) -> None:
        if self.times and call.attempt > self.times:
            return
        phrase = responses.get(self.status, "Error")  # vLLM's type for an error that its HTTP layer raises
        wait = [] if self.retry_after is None else [(b"retry-after", f"{self.retry_after:.10g}".encode())]
        raise Failure(self.status, phrase, MESSAGES.get(self.status, phrase), end="refused", headers=wait)
