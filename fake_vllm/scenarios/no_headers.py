from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class NoHeaders(Scenario):
    """Accepts the request and works on it, but sends nothing, not even the response headers."""

    name = "no_headers"
    withholds_headers = True
