"""The rows: what a server may do to a call, as scenarios of the fake, and how a call of `deadline` seconds has to end then."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

# "deadline": a TimeoutError at the deadline. "answer": whole, with its usage. "error": an error of the server's making, by the
# deadline. None: the row makes no sense for such a call.
Ends = Literal["deadline", "answer", "error"]


@dataclass(frozen=True)
class Server:
    """One behaviour.

    Attributes:
        scenario: for the fake; `{key}` is replaced by the name of the cell. None: a port where connecting never ends.
        streamed: how a streamed call has to end.
        whole: how a call for an answer in one piece has to end.
        generations: how many generations each call may start.
    """

    name: str
    scenario: str | None
    streamed: Ends
    whole: Ends | None
    generations: int = 1


SERVERS = [
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
    Server("429, then endless", "refuse:status=429,retry_after=0.1,times=1,key={key}+endless", "deadline", "deadline"),
    Server("503, retry after 30 s", "refuse:status=503,retry_after=30,times=0,key={key}", "error", "error", generations=0),
    Server("reset mid-stream", "endless+reset:after=5", "error", "error"),
    Server("trickling body", "finite:tokens=10+trickle:every=0.02", "deadline", "deadline"),
    Server("trickling headers", "endless+trickle_headers:every=0.03", "deadline", "deadline"),
    Server("lingering after [DONE]", "finite:tokens=10+linger", "answer", "deadline"),
    Server("in-stream error", "endless+error_event:after=3", "error", None),
]


@contextmanager
def hanging_port() -> Iterator[str]:
    """The address of a port where connecting hangs: its queue is full, and the kernel drops what else comes."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
