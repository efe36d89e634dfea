"""The rows: what a server may do to a call, as scenarios of the fake, and how a call of `deadline` seconds has to end then."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from stream_lab.matrix.calls import ONE_OF_A_KIND, Weather

# "deadline": a TimeoutError at the deadline. "answer": whole, with its usage. "error": an error of the server's making, by the
# deadline. None: the row makes no sense for such a call.
Ends = Literal["deadline", "answer", "error"]
Bound = Literal["timeout", "first_chunk_timeout", "idle_timeout"]

GAP = 0.01  # seconds between two tokens


@dataclass(frozen=True)
class Server:
    """One behaviour.

    Attributes:
        scenario: for the fake; `{key}` is replaced by the name of the cell, `{step}` by a twentieth of the deadline in milliseconds.
            None: a port where connecting never ends.
        streamed: how a streamed call has to end.
        whole: how a call for an answer in one piece has to end.
        generations: how many generations each call may start.
        group: what it has in common with the servers beside it, in a few words.
        asks: what each call asks for, as `model_kwargs`.
        parts: further time-outs that the model has, each as a share of the deadline.
        acts: which time-out ends a streamed call. Answers in one piece know but the one.
        speaks: how many tokens come before it is silent, from which on `idle_timeout` counts.
        calls: the names of the calls it is played for; None: all.
        pooled: whether the model has had an answer over the connection that the call will use.
    """

    name: str
    scenario: str | None
    streamed: Ends
    whole: Ends | None
    generations: int = 1
    group: str = "what the server does"
    asks: Mapping[str, Any] = field(default_factory=dict, hash=False)
    parts: Mapping[Bound, float] = field(default_factory=dict, hash=False)
    acts: Bound = "timeout"
    speaks: int = 0
    calls: frozenset[str] | None = None
    pooled: bool = False

    def due(self, bound: Bound, deadline: float) -> float:
        """When a call that this time-out ends is over, in seconds after it began."""
        return self.parts.get(bound, 1.0) * deadline + (
            self.speaks * GAP if bound == "idle_timeout" else 0.0
        )


DOES = [
    Server("finite", "finite:tokens=10", "answer", "answer"),
    Server("endless", "endless", "deadline", "deadline"),
    Server("stall", "endless+stall:after=3", "deadline", "deadline"),
    Server("keep-alive comments", "endless+keep_alive:after=3,every=0.03", "deadline", "deadline"),
    Server("empty deltas", "endless+empty_deltas:after=3,every=0.03", "deadline", "deadline"),
    Server("half an event", "endless+half_event:after=3,every=0.03", "deadline", "deadline"),
    Server("no first token", "endless+no_first_token", "deadline", "deadline"),
    Server("no headers", "endless+no_headers", "deadline", "deadline"),
    Server("connect hangs", None, "deadline", "deadline", generations=0),
    Server("bursts", "endless+burst:tokens=15", "deadline", "deadline"),
    Server(
        "429, then endless",
        "refuse:status=429,retry_after=0.1,times=1,key={key}+endless",
        "deadline",
        "deadline",
    ),
    Server(
        "503, retry after 30 s",
        "refuse:status=503,retry_after=30,times=0,key={key}",
        "error",
        "error",
        generations=0,
    ),
    Server("reset mid-stream", "endless+reset:after=20", "error", "error"),
    Server("trickling body", "finite:tokens=10+trickle:every=0.02", "deadline", "deadline"),
    Server("trickling headers", "endless+trickle_headers:every=0.03", "deadline", "deadline"),
    Server("lingering after [DONE]", "finite:tokens=10+linger", "answer", "deadline"),
    Server("in-stream error", "endless+error_event:after=3", "error", None),
]

_SCHEMA = {**Weather.model_json_schema(), "additionalProperties": False}
_TOOL = {"name": "Weather", "parameters": _SCHEMA, "strict": True}
_CALLS: dict[str, Any] = {
    "tools": [{"type": "function", "function": _TOOL}],
    "tool_choice": {"type": "function", "function": {"name": "Weather"}},
}
_FILLS: dict[str, Any] = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "Weather", "schema": _SCHEMA, "strict": True},
    }
}


_ONE: dict[str, Any] = {"group": "what the model says", "calls": ONE_OF_A_KIND}

SAYS = [
    Server("thoughts", "finite:tokens=40+think+pace:gap=5", "answer", "answer", **_ONE),
    Server("thoughts, endless", "endless+think:tokens=100000", "deadline", "deadline", **_ONE),
    Server("thoughts, stalled", "endless+think+stall:after=20", "deadline", "deadline", **_ONE),
    Server("tool call", "finite:tokens=40+pace:gap=5", "answer", "answer", asks=_CALLS, **_ONE),
    Server("tool call, endless", "endless", "deadline", "deadline", asks=_CALLS, **_ONE),
    Server(
        "tool call, stalled", "endless+stall:after=20", "deadline", "deadline", asks=_CALLS, **_ONE
    ),
    Server("structured", "finite:tokens=40+pace:gap=5", "answer", "answer", asks=_FILLS, **_ONE),
    Server("structured, endless", "endless", "deadline", "deadline", asks=_FILLS, **_ONE),
    Server(
        "structured, stalled", "endless+stall:after=20", "deadline", "deadline", asks=_FILLS, **_ONE
    ),
]

_FIRST: dict[str, Any] = {"parts": {"first_chunk_timeout": 0.5}, "acts": "first_chunk_timeout"}
_IDLE: dict[str, Any] = {"parts": {"idle_timeout": 0.5}, "acts": "idle_timeout", "speaks": 3}
_BOTH: dict[str, Any] = {"parts": {"first_chunk_timeout": 0.5, "idle_timeout": 0.5}}
_FEW: dict[str, Any] = {"calls": ONE_OF_A_KIND}

# The answer in eleven steps takes longer than either part, and none of its pauses does.
BOUNDS = [
    replace(server, group="with bounds for parts")
    for server in (
        Server("first_chunk_timeout", "endless+no_first_token", "deadline", "deadline", **_FIRST),
        Server(
            "first_chunk_timeout, no headers",
            "endless+no_headers",
            "deadline",
            "deadline",
            **_FIRST,
            **_FEW,
        ),
        Server(
            "first_chunk_timeout, empty deltas",
            "endless+empty_deltas:after=0,every=0.03",
            "deadline",
            "deadline",
            **_FIRST,
            **_FEW,
        ),
        Server("idle_timeout", "endless+stall:after=3", "deadline", "deadline", **_IDLE),
        Server(
            "idle_timeout, comments",
            "endless+keep_alive:after=3,every=0.03",
            "deadline",
            "deadline",
            **_IDLE,
            **_FEW,
        ),
        Server(
            "idle_timeout, empty deltas",
            "endless+empty_deltas:after=3,every=0.03",
            "deadline",
            "deadline",
            **_IDLE,
            **_FEW,
        ),
        Server(
            "both, steady",
            "finite:tokens=10+pace:first_token={step},gap={step}",
            "answer",
            "answer",
            **_BOTH,
            **_FEW,
        ),
        Server(
            "both, endless thoughts",
            "endless+think:tokens=100000",
            "deadline",
            "deadline",
            **_BOTH,
            **_FEW,
        ),
    )
]

NEW = [*DOES, *SAYS, *BOUNDS]
POOLED = [
    replace(server, name=f"{server.name}, pooled", group=f"{server.group}, pooled", pooled=True)
    for server in NEW
    if server.scenario is not None  # no connection, none to use again
]
SERVERS = [*NEW, *POOLED]


@contextmanager
def hanging_port() -> Iterator[str]:
    """Give the address of a port where connecting hangs.

    Its queue is full, and the kernel drops what else comes.
    """
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
