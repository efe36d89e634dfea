from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, CutAfter


@dataclass(frozen=True, config=STRICT)
class Close(CutAfter):
    """Sends `after` tokens (5), then closes the connection (FIN) in mid-body.

    A vLLM whose API process was killed does that.
    """

    clean = True
    after: int = Field(5, ge=0)
