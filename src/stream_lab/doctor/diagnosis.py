"""The diagnosis: one cause, with the evidence for it."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter


class Cause(StrEnum):
    """What is wrong with a stream, or nothing."""

    HEALTHY = "healthy"
    NOT_STREAMING = "not_streaming"
    BUFFERED = "buffered"
    IDLE_CUT = "idle_cut"
    TOTAL_CUT = "total_cut"
    SERVER_ENDED = "server_ended"
    PROXY_ENDED = "proxy_ended"
    CLIENT_ENDED = "client_ended"
    NEVER_ENDS = "never_ends"
    KEEPALIVE_ONLY = "keepalive_only"
    SLOW_FIRST_TOKEN = "slow_first_token"
    BAD_FRAMING = "bad_framing"
    MISSING_DONE = "missing_done"
    LOOP_BLOCKED = "loop_blocked"
    GENERATES_AFTER_LEAVE = "generates_after_leave"
    HTTP_ERROR = "http_error"
    NOT_SSE = "not_sse"
    UNREACHABLE = "unreachable"


MEANING = {
    Cause.HEALTHY: "Tokens flowed and ended as the protocol says.",
    Cause.NOT_STREAMING: "The answer came as one body although a stream was requested.",
    Cause.BUFFERED: "A proxy or middleware collects tokens and passes them on in bursts.",
    Cause.IDLE_CUT: "The connection is closed after a silence of a certain length.",
    Cause.TOTAL_CUT: "The connection is closed after a certain time, even while tokens arrive.",
    Cause.SERVER_ENDED: "The server ended its answer before it was complete.",
    Cause.PROXY_ENDED: "A layer in front of the server ended the answer.",
    Cause.CLIENT_ENDED: "The client disconnected.",
    Cause.NEVER_ENDS: "It was still open when the watch was over, and no limit was seen. "
    "A limit may be longer than the watch.",
    Cause.KEEPALIVE_ONLY: "Only comments or empty deltas arrive: bytes flow, the answer does not.",
    Cause.SLOW_FIRST_TOKEN: "The first token takes long; after it, the stream is healthy.",
    Cause.BAD_FRAMING: "The bytes that arrive break the protocol.",
    Cause.MISSING_DONE: "The stream ends without its end marker.",
    Cause.LOOP_BLOCKED: "Concurrent streams stop together: one of them blocks the event loop.",
    Cause.GENERATES_AFTER_LEAVE: "The server keeps generating after its client has disconnected.",
    Cause.HTTP_ERROR: "The answer is an error and not a stream.",
    Cause.NOT_SSE: "The answer is not a stream of events.",
    Cause.UNREACHABLE: "No server answers at this address.",
}


@dataclass(frozen=True)
class Diagnosis:
    """One cause, with the evidence for it.

    Attributes:
        layer: the first layer that shows it: "direct", "proxied", "in-process",
            "browser". Empty: only one layer was examined.
        confidence: from 0 to 1. From 0.9 on, only a coincidence would make it wrong.
        evidence: the observations, one sentence each.
        next: what to do now.
        refuted_by: an observation that would point to another cause.
        also: further faults.
    """

    cause: Cause
    confidence: float
    evidence: list[str]
    next: str
    refuted_by: str = ""
    layer: str = ""
    also: list[Cause] = field(default_factory=list)

    @property
    def meaning(self) -> str:
        return MEANING[self.cause]

    def as_dict(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return asdict(self)


def schema() -> dict[str, Any]:
    """Return the JSON schema of what `--json` prints."""
    found = TypeAdapter(Diagnosis).json_schema()
    found.pop("description", None)  # only some versions of pydantic add the class's docstring
    return found
