from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, CutAfter


@dataclass(frozen=True, config=STRICT)
class Reset(CutAfter):
    """Sends `after` tokens (5), then resets the connection (RST) in mid-body.

    With 0, it does so before any header.
    """

    clean = False
    after: int = Field(5, ge=0)
