from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, CutAfter


@dataclass(frozen=True, config=STRICT)
class Close(CutAfter):
    """Sends `after` tokens (5), then closes the connection (FIN) without an end of the body, as a vLLM whose API process was killed."""

    clean = True
    after: int = Field(5, ge=0)
