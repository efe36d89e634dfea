"""The table of drills: each fault, when it comes, and what the caller gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.drills.styles import STYLES
from tests.drills.troubles import BLOCKED, LOOK_UP

Act = Literal[
    "kill", "stop", "cut off", "deaf", "gone", "reset", "no connection", "suspend", "freeze client"
]
When = Literal["before", "accepted", "headers", "third piece", "freed"]
Kinds = tuple[Literal["new", "pooled"], ...]

LIMIT = 1.5
FROZEN = 2.5
"""Seconds for which the client's process, or its whole machine, does not run."""

LATE = "late"
"""In place of an error's name: the call ends with its own error at the deadline."""
WHOLE = "whole"
"""In place of an error's name: the answer comes as without the fault."""

BOTH: Kinds = ("new", "pooled")
NEW: Kinds = ("new",)
POOLED: Kinds = ("pooled",)
ALL = tuple(STYLES)
OPENED = tuple(name for name in ALL if name != "bounded_sync")
"""All but the style that bounds only the reading of an answer that has begun."""
STREAMS = tuple(name for name, style in STYLES.items() if style.group != "whole")
OURS = tuple(name for name in ALL if name != "middleware")
"""Those in whose process nothing but the call resolves names."""
AWAITED = tuple(name for name in OURS if STYLES[name].is_async)
BLOCKING = tuple(name for name in OURS if name in OPENED and not STYLES[name].is_async)
CONSUMED = tuple(name for name in STREAMS if name != "middleware")
"""Those whose consumer runs in the thread or the loop of the call."""

CONNECTION = {"*": "openai.APIConnectionError", "http": "model_unreachable"}
AT_THE_DEADLINE = {"*": LATE}
AS_USUAL = {"*": WHOLE}


@dataclass(frozen=True)
class Drill:
    """A fault at one moment, for some styles of call.

    Attributes:
        fault: in words.
        moment: in words.
        gets: the error's name by style or group of styles, or `LATE`, or `WHOLE`; "*": all others.
        plant: a defect of the library that this drill shows.
        planted: the style that the defect is shown with.
        act: what is done, besides the trouble; None: nothing.
        when: what the drill waits for before it acts: nothing, the request in the ledger, the
            headers there, the third piece at the client, or the end of the generation.
        scenario: of the fake.
        styles: the names of the styles.
        kinds: whether the connection is new, or comes from the pool.
        trouble: in the client's own process; None: none.
        secure: whether the server speaks TLS.
        lateness: seconds that the error is late for a reason that lies in the fault.
        starts: how many requests of the call the ledger has at the end; a server that was killed
            has a new ledger. None: any number.
        after: seconds from that moment to the act.
        noisy: styles whose own client leaves a socket to the garbage collector.
        recovers: whether the next call of the same client gets an answer.
    """

    fault: str
    moment: str
    gets: Mapping[str, str]
    plant: str
    planted: str
    act: Act | None = None
    when: When = "before"
    scenario: str = "endless"
    styles: tuple[str, ...] = ALL
    kinds: Kinds = BOTH
    trouble: str | None = None
    secure: bool = False
    lateness: float = 0.0
    starts: int | None = 1
    recovers: bool = True
    after: float = 0.0
    noisy: tuple[str, ...] = ()
    limit: float = LIMIT

    @property
    def name(self) -> str:
        return f"{self.fault}, {self.moment}"


KILLED = "The server is killed"
STOPPED = "The server is stopped"
LOST = "All packets are lost"
HALF_OPEN = "The server's machine is gone without a word"
DEAF = "What the server sends is lost"
RESET = "The connection is reset"
BEFORE, HANDSHAKE = "before the call", "in the TLS handshake"
HEADERS, FIRST, MID, END = (
    "before the headers",
    "before the first token",
    "in mid-stream",
    "after the last token",
)
LATER = "before the headers, after 1.2 s"
# Where in the life of a call a fault comes: what the drill waits for, and what the fake plays.
AT_HEADERS: dict[str, Any] = {"when": "accepted", "scenario": "no_headers", "styles": OPENED}
AT_FIRST: dict[str, Any] = {"when": "headers", "scenario": "no_first_token", "styles": STREAMS}
AT_MID: dict[str, Any] = {"when": "third piece", "styles": STREAMS}
AT_END: dict[str, Any] = {"when": "freed", "scenario": "linger", "styles": STREAMS}

DRILLS: list[Drill] = []


def _add(
    fault: str,
    moment: str,
    gets: Mapping[str, str],
    plant: str,
    planted: str,
    place: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    DRILLS.append(Drill(fault, moment, gets, plant, planted, **{**(place or {}), **more}))


# fmt: off
def _fill() -> None:
    # These end before the deadline, after the pauses of two further attempts.
    kill: dict[str, Any] = {"act": "kill", "starts": 0, "limit": 4.0}
    _add(KILLED, BEFORE, CONNECTION, "errors_are_ends", "astream", **kill)
    _add(KILLED, HANDSHAKE, CONNECTION, "errors_are_ends", "stream", act="kill", limit=4.0, secure=True, kinds=NEW, styles=OPENED, starts=None, recovers=False)
    _add(KILLED, HEADERS, CONNECTION, "retries_at_work", "invoke", AT_HEADERS, kinds=NEW, **kill)
    # Earlier, it may be a server that had given the pooled connection up: `was_stale` in _connection.py.
    _add(KILLED, LATER, CONNECTION, "retries_at_work", "ainvoke", AT_HEADERS, kinds=POOLED, after=1.2, **kill)
    _add(KILLED, FIRST, CONNECTION, "errors_are_ends", "stream", AT_FIRST, **kill)
    _add(KILLED, MID, CONNECTION, "errors_are_ends", "chain", AT_MID, **kill)
    _add(KILLED, END, AS_USUAL, "ends_are_errors", "stream", AT_END, **kill)

    stop: dict[str, Any] = {"act": "stop"}
    _add(STOPPED, BEFORE, AT_THE_DEADLINE, "no_time_left", "stream", styles=OPENED, starts=None, **stop)
    _add(STOPPED, HANDSHAKE, AT_THE_DEADLINE, "no_time_left", "stream", secure=True, kinds=NEW, styles=OPENED, starts=None, noisy=("bounded",), **stop)
    _add(STOPPED, HEADERS, AT_THE_DEADLINE, "no_time_left", "stream", AT_HEADERS, **stop)
    _add(STOPPED, FIRST, AT_THE_DEADLINE, "no_time_left", "astream", AT_FIRST, **stop)
    _add(STOPPED, MID, AT_THE_DEADLINE, "no_time_left", "chain", AT_MID, **stop)
    _add(STOPPED, END, AS_USUAL, "ends_are_errors", "stream", AT_END, limit=4.0, **stop)

    _add(LOST, BEFORE, AT_THE_DEADLINE, "no_time_left", "stream", act="cut off", styles=OPENED, kinds=POOLED, starts=None)
    _add(LOST, HEADERS, AT_THE_DEADLINE, "no_time_left", "stream", AT_HEADERS, act="cut off")
    _add(LOST, MID, AT_THE_DEADLINE, "no_time_left", "bounded", AT_MID, act="cut off")
    _add(HALF_OPEN, HEADERS, AT_THE_DEADLINE, "no_time_left", "stream", AT_HEADERS, act="gone", starts=0)
    _add(HALF_OPEN, MID, AT_THE_DEADLINE, "no_time_left", "stream", AT_MID, act="gone", starts=0)
    _add(DEAF, MID, AT_THE_DEADLINE, "no_time_left", "stream", AT_MID, act="deaf")
    _add(RESET, HEADERS, CONNECTION, "retries_at_work", "ainvoke", AT_HEADERS, act="reset", kinds=NEW, limit=4.0)
    _add(RESET, LATER, CONNECTION, "retries_at_work", "ainvoke", AT_HEADERS, act="reset", kinds=POOLED, after=1.2, limit=3.0)
    _add(RESET, MID, CONNECTION, "errors_are_ends", "chain", AT_MID, act="reset", limit=4.0)
    _add("No packet of a new connection arrives", "while it connects", AT_THE_DEADLINE, "no_time_left", "astream", act="no connection", styles=OPENED, kinds=NEW, starts=None, recovers=False)

    _add("Names cannot be resolved", BEFORE, CONNECTION, "errors_are_ends", "ainvoke", trouble="names_fail", limit=4.0, kinds=NEW, styles=OURS, starts=0, recovers=False)
    _add("The look-up of a name takes 3 s", BEFORE, AT_THE_DEADLINE, "no_time_left", "astream", trouble="names_block", kinds=NEW, styles=AWAITED, starts=0)
    _add("The look-up of a name takes 3 s", "in a synchronous call", AT_THE_DEADLINE, "no_time_left", "invoke", trouble="names_block", kinds=NEW, styles=BLOCKING, starts=0, lateness=LOOK_UP - LIMIT)

    _add("The consumer blocks its thread for 2.5 s", MID, AT_THE_DEADLINE, "no_watchdog", "chain", trouble="consumer_blocks", styles=CONSUMED, lateness=BLOCKED - LIMIT + 0.3)
    _add("Garbage is collected at each allocation", MID, AT_THE_DEADLINE, "no_clock_check", "chain", trouble="collections", styles=CONSUMED)
    _add("Garbage is collected at each allocation", "a short answer", AS_USUAL, "ends_are_errors", "stream", trouble="collections", scenario="finite:tokens=30", limit=4.0, styles=CONSUMED)
    _add("Garbage is never collected", MID, AT_THE_DEADLINE, "task_left", "chain", trouble="no_collections", styles=CONSUMED)
    _add("The wall clock steps by an hour", "with each piece", AT_THE_DEADLINE, "wall_clock", "stream", trouble="wall_clock_steps", styles=CONSUMED)
    _add("The client's machine is suspended for 2.5 s", MID, AT_THE_DEADLINE, "no_clock_check", "stream", act="suspend", when="third piece", trouble="suspended", styles=CONSUMED)
    _add("The client's process is stopped for 2.5 s", MID, AT_THE_DEADLINE, "no_clock_check", "astream", act="freeze client", when="third piece", styles=CONSUMED, lateness=FROZEN - LIMIT + 0.5)

# fmt: on


_fill()
