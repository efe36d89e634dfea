"""The ways to make a call, as a table."""

from dataclasses import dataclass
from typing import Literal

Where = Literal["loop", "own loop", "thread"]
Ending = Literal[
    "read", "slow", "busy", "hold", "close", "drop", "cancel", "cancel at T", "loop ends"
]
Way = Literal["constructor", "call", "scope", "both", "first chunk", "argument", "header"]

READS: tuple[Ending, ...] = ("read", "slow", "hold", "close", "drop")
CANCELS: tuple[Ending, ...] = ("cancel", "cancel at T")
MODEL: tuple[Way, ...] = ("constructor", "call", "scope", "both")


@dataclass(frozen=True)
class Style:
    """One way to make a call.

    Attributes:
        name: its name, for people; the functions that make the call are found by it.
        where: in the event loop that all share, in one of its own (`asyncio.run`), or in a thread.
        streamed: whether it is a stream that the caller pulls.
        endings: what the caller may do with it.
        ways: how the deadline can be set.
        generations: how many requests it makes.
        chained: whether tasks of LangChain stand between the library and the caller, so that a
            chunk can reach the caller later than it left the library.
        text: whether the caller reads lines of text, in which an error or half an answer is text,
            too.
        pieces: whether the library bounds the pieces of the body, of which the client makes
            several chunks each.
        from_headers_on: whether the call begins with a head that has come.
        served: whether it goes through the application behind the middleware.
        asks: whether the request is for a stream, where the call itself is none. None: as
            `streamed`.
    """

    name: str
    where: Where
    streamed: bool
    endings: tuple[Ending, ...]
    ways: tuple[Way, ...]
    generations: int = 1
    chained: bool = False
    text: bool = False
    pieces: bool = False
    from_headers_on: bool = False
    served: bool = False
    asks: bool | None = None

    @property
    def asks_for_stream(self) -> bool:
        return self.streamed if self.asks is None else self.asks


_STREAM: tuple[Way, ...] = (*MODEL, "first chunk")
_WHOLE: tuple[Ending, ...] = ("read", *CANCELS)
_SYNC: tuple[Ending, ...] = ("read", "busy", "hold", "close", "drop")
_OWN: tuple[Ending, ...] = ("read", "busy", "loop ends", "cancel")
_OURS: tuple[Way, ...] = ("argument", "scope")

STYLES = [
    # Models, in the event loop that all share.
    Style("astream", "loop", True, READS + CANCELS, _STREAM),
    Style("chain.astream", "loop", True, READS + CANCELS, MODEL, chained=True),
    Style("chain of 5", "loop", True, ("read", "drop", "cancel"), MODEL, chained=True),
    Style("astream_events", "loop", True, ("read", "drop", "cancel"), MODEL, chained=True),
    Style("ainvoke", "loop", False, _WHOLE, MODEL),
    Style("ainvoke, streaming", "loop", False, _WHOLE, ("constructor", "scope"), asks=True),
    Style("abatch", "loop", False, _WHOLE, MODEL, generations=2),
    Style("bounded_model.astream", "loop", True, READS + CANCELS, ("constructor", "scope")),
    Style("bounded_model.ainvoke", "loop", False, _WHOLE, ("constructor", "scope")),
    # Other clients, in the same loop.
    Style("bounded, SDK", "loop", True, READS + CANCELS, _OURS),
    Style("bounded, httpx", "loop", True, READS + CANCELS, _OURS, text=True),
    Style("bounded, clings", "loop", True, ("read", "hold", "close", "cancel"), _OURS),
    Style("bounded_client, SDK", "loop", True, ("read", "close", "cancel"), _OURS, pieces=True),
    Style(
        "bounded_client, httpx",
        "loop",
        True,
        ("read", "close", "cancel"),
        _OURS,
        text=True,
        pieces=True,
    ),
    # Event loops of their own, which end with the call.
    Style("astream, asyncio.run", "own loop", True, _OWN, _STREAM),
    Style(
        "chain.astream, asyncio.run", "own loop", True, ("read", "loop ends"), MODEL, chained=True
    ),
    Style("ainvoke, asyncio.run", "own loop", False, ("read",), MODEL),
    Style("bounded, SDK, asyncio.run", "own loop", True, _OWN, _OURS),
    # Threads.
    Style("stream", "thread", True, _SYNC, _STREAM),
    Style("chain.stream", "thread", True, ("read", "close", "drop"), MODEL),
    Style("invoke", "thread", False, ("read",), MODEL),
    Style("batch", "thread", False, ("read",), MODEL, generations=2),
    Style("bounded_model.stream", "thread", True, _SYNC, ("constructor", "scope")),
    Style("bounded_model.invoke", "thread", False, ("read",), ("constructor", "scope")),
    Style("bounded_sync, SDK", "thread", True, _SYNC, _OURS, from_headers_on=True),
    Style("bounded_sync, httpx", "thread", True, _SYNC, _OURS, text=True, from_headers_on=True),
    Style("bounded_client, SDK, sync", "thread", True, ("read", "close"), _OURS, pieces=True),
    Style(
        "bounded_client, httpx, sync",
        "thread",
        True,
        ("read", "close"),
        _OURS,
        text=True,
        pieces=True,
    ),
    # The web application's side.
    Style("served, events", "loop", True, ("read", "close", "cancel"), ("header",), served=True),
    Style("served, whole", "loop", False, ("read", "cancel"), ("header",), served=True, asks=True),
    Style("served, thread", "loop", False, ("read", "cancel"), ("header",), served=True),
]
BY_NAME = {style.name: style for style in STYLES}
