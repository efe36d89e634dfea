from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class NeverRead(Scenario):
    """Accepts connections and never reads from them, so that not even the request gets through; only for the whole server."""

    name = "never_read"  # the server asks for it by this name before there is a request

    def before(self, call: Call) -> None:
        text = "The scenario never_read acts before there is a request: start the server with it."
        raise Failure(400, "BadRequestError", text, end="refused")
