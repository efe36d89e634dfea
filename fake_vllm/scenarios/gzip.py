import zlib
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.scenarios.base import STRICT, Scenario

GZIP_HEADER = 16  # added to the window's bits: a gzip header in place of zlib's


@dataclass(frozen=True, config=STRICT)
class Gzip(Scenario):
    """Compresses the body with gzip, for a client that accepts it.

    `flush` is event (each can be read at once) or end (held back until 32 KiB or the end).
    """

    only_delivers = True
    flush: Literal["event", "end"] = "event"
    level: int = Field(default=6, ge=1, le=9)

    def before(self, response: Response) -> None:
        response.headers.append((b"vary", b"Accept-Encoding"))
        if accepts_gzip(response.exchange.headers.get("accept-encoding", "")):
            response.coder = GzipCoder(self.level, flushes=self.flush == "event")


class GzipCoder:
    """One body in gzip.

    Attributes:
        name: the name of the coding.
    """

    name = b"gzip"

    def __init__(self, level: int, *, flushes: bool) -> None:
        self._flushes = flushes
        self._packer = zlib.compressobj(level, zlib.DEFLATED, GZIP_HEADER + zlib.MAX_WBITS)

    def encode(self, data: bytes, *, last: bool = False) -> bytes:
        packed = self._packer.compress(data)
        if last:
            return packed + self._packer.flush()
        return packed + self._packer.flush(zlib.Z_SYNC_FLUSH) if self._flushes else packed


def accepts_gzip(header: str) -> bool:
    """Tell whether an Accept-Encoding allows gzip (RFC 9110, section 12.5.3)."""
    allowed: dict[str, bool] = {}
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            allowed[name] = float(quality) > 0
        except ValueError:
            allowed[name] = False
    return allowed.get("gzip", allowed.get("x-gzip", allowed.get("*", False)))
