from http.client import responses

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.engine.slots import TOO_MANY_REQUESTS
from fake_vllm.response.response import Response
from fake_vllm.scenarios.base import STRICT, Failure, Scenario

# vLLM's words where it has any. It never sends a 429, but a gateway in front of it does. Its 401
# has a form of its own.
ERRORS = {
    404: ("NotFoundError", "The model `nope` does not exist.", "model"),
    429: ("Too Many Requests", "Rate limit exceeded. Please try again later.", None),
    500: ("InternalServerError", "", None),  # the words depend on the version
    503: ("Service Unavailable", TOO_MANY_REQUESTS, None),
}


@dataclass(frozen=True, config=STRICT)
class Refuse(Scenario):
    """Refuses the first `times` (1; 0: all) requests with `status` (503).

    `retry_after` adds a header, in seconds. `key` makes two texts differ.
    """

    only_delivers = True
    # Requests with the same scenario text are counted, since the ledger was cleared.
    status: int = Field(503, ge=400, le=599)
    retry_after: float | None = Field(None, ge=0)
    times: int = Field(1, ge=0)
    key: str = ""

    def before(self, response: Response) -> None:
        if self.times and response.attempt > self.times:
            return
        type, text, param = ERRORS.get(
            self.status, (phrase := responses.get(self.status, "Error"), phrase, None)
        )
        text = text or response.release.death
        wait = (
            []
            if self.retry_after is None
            else [(b"retry-after", f"{self.retry_after:.10g}".encode())]
        )
        failure = Failure(self.status, type, text, end="refused", param=param, headers=wait)
        if self.status == 401:
            failure.body = {"error": "Unauthorized"}
        raise failure
