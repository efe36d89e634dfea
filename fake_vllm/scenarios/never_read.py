from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.scenarios.base import STRICT, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class NeverRead(Scenario):
    """Accepts connections and never reads from them.

    Not even the request gets through. Only for the whole server.
    """

    reads_requests = False

    def before(self, response: Response) -> None:
        text = "The scenario never_read acts before there is a request: start the server with it."
        raise Failure(400, "BadRequestError", text, end="refused")
