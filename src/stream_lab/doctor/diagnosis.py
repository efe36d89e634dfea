"""One cause, and everything that is needed to believe it or not."""

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
    Cause.NOT_STREAMING: "One body came although a stream was asked for.",
    Cause.BUFFERED: "A proxy or middleware on the way collects tokens and hands them over in heaps.",
    Cause.IDLE_CUT: "The connection is closed after a silence of a certain length.",
    Cause.TOTAL_CUT: "The connection is closed after a certain time, also while tokens come.",
    Cause.SERVER_ENDED: "The server ended its answer before it was complete.",
    Cause.PROXY_ENDED: "What stands before the server ended the answer.",
    Cause.CLIENT_ENDED: "The client left.",
    Cause.NEVER_ENDS: "It was still open when the watch was over: nothing on the path bounds the whole.",
    Cause.KEEPALIVE_ONLY: "Bytes flow, the answer does not: comments or empty deltas only.",
    Cause.SLOW_FIRST_TOKEN: "The first token takes long; after it all is well.",
    Cause.BAD_FRAMING: "What comes breaks the protocol.",
    Cause.MISSING_DONE: "The stream ends without the mark of its end.",
    Cause.LOOP_BLOCKED: "Streams beside each other stop together: one of them blocks the event loop.",
    Cause.GENERATES_AFTER_LEAVE: "The server goes on generating after its client has left.",
    Cause.HTTP_ERROR: "The answer is an error, not a stream.",
    Cause.NOT_SSE: "What came is no stream of events.",
    Cause.UNREACHABLE: "No server answers there.",
}


@dataclass(frozen=True)
class Diagnosis:
    """One cause.

    Attributes:
        layer: the first layer at which it is seen: "direct", "proxied", "in-process"; empty: only one was looked at.
        confidence: from 0 to 1, how sure; 0.9 and more: it would take a coincidence to be wrong.
        evidence: what was seen, a sentence each.
        next: what to do now.
        refuted_by: what would show that it is something else.
        also: what else is wrong.
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
        """As `--json` prints it."""
        return asdict(self)


def schema() -> dict[str, Any]:
    """What `--json` prints, as a JSON schema."""
    found = TypeAdapter(Diagnosis).json_schema()
    found.pop(
        "description", None
    )  # some versions of pydantic put the class's own in, others do not
    return found
