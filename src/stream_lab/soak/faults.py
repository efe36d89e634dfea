"""What the fake server does wrong, as a table."""

from dataclasses import dataclass

GAP = 0.02  # seconds between two tokens
SOON = 3.0
"""Seconds within which an answer that ends by itself has ended, on a machine with other work."""
AT_REST = 5.0 + SOON
"""The same if it ends only when the server closes an idle connection."""

ANSWER, ERROR = "answer", "error"


@dataclass(frozen=True)
class Fault:
    """One behaviour of the server.

    Attributes:
        name: its name, for people.
        scenario: the scenario of the fake. `{number}` becomes the call's number.
        ends: how a stream ends that is read to its end, if the deadline does not end it before.
            Empty: only the deadline ends it.
        whole: the same for an answer in one piece.
        silent: whether it comes before the first token, so that `first_chunk_timeout` acts.
        before_headers: whether it comes before the head of the answer.
        within: seconds within which an answer that ends by itself has ended.
    """

    name: str
    scenario: str
    ends: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    silent: bool = False
    before_headers: bool = False
    within: float = SOON


_FINE, _FAILS, _EITHER = frozenset({ANSWER}), frozenset({ERROR}), frozenset({ANSWER, ERROR})
_NEVER: frozenset[str] = frozenset()

FAULTS = [
    Fault("none", "finite:tokens=8", _FINE, _FINE),
    Fault("one token", "finite:tokens=1", _FINE, _FINE),
    Fault("thoughts", "finite:tokens=8+think:tokens=4", _FINE, _FINE),
    Fault("slow answer", "finite:tokens=6+pace:first_token=150,gap=60", _FINE, _FINE),
    Fault("split packets", "finite:tokens=4+split:at=character", _FINE, _FINE),
    Fault("noise", "finite:tokens=6+sse_noise", _FINE, _FINE),
    Fault("no [DONE]", "finite:tokens=6+no_done", _FINE, _FINE),
    Fault("lingers", "finite:tokens=4+linger", _FINE, _NEVER),
    Fault("endless", "endless"),
    Fault("slow", "endless+pace:gap=150"),
    Fault("fast", "endless+pace:gap=4"),
    Fault("bursts", "endless+pace:gap=4+burst:tokens=40"),
    Fault("stalls", "endless+stall:after=3"),
    Fault("comments only", "endless+keep_alive:after=2,every=0.05"),
    Fault("empty deltas", "endless+empty_deltas:after=2,every=0.05"),
    Fault("half an event", "endless+half_event:after=2,every=0.05"),
    Fault("trickles", "endless+trickle:bytes=20,every=0.05"),
    Fault("no first token", "endless+no_first_token", silent=True),
    Fault("no headers", "endless+no_headers", silent=True, before_headers=True),
    Fault(
        "trickling headers",
        "endless+trickle_headers:every=0.05",
        silent=True,
        before_headers=True,
    ),
    Fault("resets", "endless+reset:after=3", _FAILS, _FAILS),
    Fault("resets at once", "endless+reset:after=0", _FAILS, _FAILS, before_headers=True),
    Fault("closes", "endless+close:after=3", _EITHER, _FAILS),
    Fault("ends early", "endless+ends_early:after=3", _EITHER, _EITHER),
    Fault("an error event", "endless+error_event:after=3", _FAILS, _FAILS),
    Fault("garbage", "finite:tokens=8+malformed:after=2", _EITHER, _EITHER),
    Fault("wrong length", "finite:tokens=8+wrong_length:by=10", _EITHER, _EITHER, within=AT_REST),
    Fault("500", "refuse:status=500,times=0,key={number}", _FAILS, _FAILS, before_headers=True),
    Fault("503", "refuse:status=503,times=0,key={number}", _FAILS, _FAILS, before_headers=True),
    Fault(
        "429, then an answer",
        "refuse:status=429,retry_after=0.1,times=1,key={number}+finite:tokens=4",
        _EITHER,
        _EITHER,
        before_headers=True,
    ),
    Fault("a gateway's page", "gateway:status=502", _FAILS, _FAILS, before_headers=True),
]
