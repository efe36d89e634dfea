"""The rows: what a server does, and how a call must then end."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from stream_lab.matrix.calls import ONE_OF_A_KIND, Weather

# "deadline": a TimeoutError at the deadline. "answer": whole, with its usage. "error": an error
# that the server causes, by the deadline. None: the row makes no sense for such a call.
Ends = Literal["deadline", "answer", "error"]
Bound = Literal["timeout", "first_chunk_timeout", "idle_timeout"]

GAP = 0.01  # seconds between two tokens


@dataclass(frozen=True)
class Server:
    """One behaviour of a server.

    Attributes:
        name: the name of the row.
        scenario: the fake's scenario. `{key}` becomes the name of the cell, and `{step}` a
            twentieth of the deadline in milliseconds. None: a port where connecting hangs.
        streamed: how a streamed call must end.
        whole: how a call for an answer in one piece must end.
        generations: how many generations each call may start.
        group: what this row has in common with its neighbours, in a few words.
        asks: further fields of each request, as `model_kwargs`.
        parts: further time-outs of the model, each as a share of the deadline.
        acts: the time-out that ends a streamed call; a call for one piece has only `timeout`.
        speaks: how many tokens come before the silence that `idle_timeout` measures.
        calls: the names of the calls to play it for. None: all.
        pooled: whether the call uses a connection over which the model has had an answer.
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
        """Return when this time-out ends a call, in seconds after the call began."""
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

# The answer in eleven steps takes longer than either bound, but no pause in it does.
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
    if server.scenario is not None  # without a connection, there is no pooled one
]
SERVERS = [*NEW, *POOLED]


@contextmanager
def hanging_port() -> Iterator[str]:
    """Yield the address of a port where connecting hangs.

    Its queue is full, so the kernel drops further attempts.
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
