from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.http.upload import How
from fake_vllm.http.upload import Upload as Reception
from fake_vllm.response.response import Response
from fake_vllm.scenarios.base import STRICT, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class Upload(Scenario):
    """Acts after `after` bytes (0) of a request's body.

    By `how`: answer (`status` 413), close, reset, slow (`rate` 10000 bytes/s),
    refuse_continue, no_continue.
    """

    only_delivers = True
    how: How = "answer"
    status: int = Field(default=413, ge=400, le=599)
    after: int = Field(default=0, ge=0)
    rate: float = Field(default=10_000.0, gt=0)

    @property
    def upload(self) -> Reception:
        return Reception(self.how, self.status, self.after, self.rate)

    def before(self, response: Response) -> None:
        if response.exchange.upload is None:
            text = (
                "The scenario upload acts before the body is there: name it in the header "
                "x-fake-scenario, or start the server with it."
            )
            raise Failure(400, "BadRequestError", text, end="refused")
