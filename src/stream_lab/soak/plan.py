"""The plan of a soak: each call is drawn from the seed and its number.

So a call can be played again without the others that came before it.
"""

import math
import random
from dataclasses import asdict, dataclass
from typing import Any

from stream_lab.soak.faults import FAULTS, Fault
from stream_lab.soak.styles import STYLES, Ending, Style, Way

SHORTEST, LONGEST = 0.05, 5.0
"""The deadlines of calls, in seconds."""
LEAVES: tuple[Ending, ...] = ("close", "drop", "loop ends")
"""What a caller does after some chunks, without reading the rest."""
MODEL_S_OWN: tuple[Way, ...] = ("constructor", "call", "first chunk")
"""Deadlines of a model, whose clock starts with each of its calls."""
FAR = 60.0
"""Seconds of a deadline that is never reached: what a call leaves behind then shows at once."""


@dataclass(frozen=True)
class Plan:
    """One call.

    Attributes:
        number: from 1; also the name of the call in the server's ledger.
        style: how it is made.
        fault: what the server does.
        limit: the deadline in seconds. No two calls have the same, so that a report names its call.
        way: how the deadline is set.
        ending: what the caller does.
        moment: when the caller does it, as a share of the deadline; for a stream that is closed or
            dropped, the number of chunks after which.
        pooled: whether it may use a connection that is open already.
        crowded: whether it asks the server that has few slots, so that it may wait in a queue.
    """

    number: int
    style: Style
    fault: Fault
    limit: float
    way: Way
    ending: Ending
    moment: float
    pooled: bool
    crowded: bool

    @property
    def ends(self) -> frozenset[str]:
        """How it ends if the caller reads all and no deadline comes before."""
        return self.fault.ends if self.style.asks_for_stream else self.fault.whole

    @property
    def surely_ends(self) -> bool:
        """Tell whether it ends by itself long before its deadline."""
        return bool(self.ends) and self.limit > self.fault.within and not self.crowded

    @property
    def makes_a_model(self) -> bool:
        """Tell whether a model is made for it before its clock starts."""
        return self.way in MODEL_S_OWN

    @property
    def scenario(self) -> str:
        """The fake's scenario; a call that never ends is ended by the server at last."""
        most = 2 * min(self.limit, LONGEST) + 6
        return f"{self.fault.scenario.format(number=self.number)}+time_limit:seconds={most:.0f}"

    def __str__(self) -> str:
        connection = "pooled" if self.pooled else "new"
        crowd = ", a server with few slots" if self.crowded else ""
        return (
            f"{self.style.name}; server: {self.fault.name}; T={self.limit:.6f} s ({self.way}); "
            f"caller: {self.ending} ({self.moment:.3f}); connection: {connection}{crowd}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        named = {"style": self.style.name, "fault": self.fault.name}
        return {**asdict(self), **named, "scenario": self.scenario}


def draw(seed: str, number: int) -> Plan:
    """Draw one call.

    Args:
        seed: of the soak.
        number: of the call.
    """
    dice = random.Random(f"{seed}:{number}")
    style = dice.choice(STYLES)
    ending, way = dice.choice(style.endings), dice.choice(style.ways)
    fits = [fault for fault in FAULTS if _fits(fault, style, way, ending)]
    fault = dice.choice(fits)
    limit = math.exp(dice.uniform(math.log(SHORTEST), math.log(LONGEST)))
    ends = fault.ends if style.asks_for_stream else fault.whole
    talks = fault.name in ("endless", "fast", "bursts") and style.streamed
    if dice.random() < 0.15 and (ends or (talks and ending in LEAVES)) and way != "first chunk":
        limit = FAR + dice.random()
    moment = float(dice.randint(1, 4)) if ending in LEAVES else dice.uniform(0.0, 0.95)
    return Plan(
        number=number,
        style=style,
        fault=fault,
        # In whole milliseconds a header says it exactly, and the number keeps it apart.
        limit=round(limit, 3) if way == "header" else round(limit, 4) + number % 1000 * 1e-7,
        way=way,
        ending=ending,
        moment=moment,
        pooled=dice.random() < 0.6,
        crowded=dice.random() < 0.1,
    )


def _fits(fault: Fault, style: Style, way: Way, ending: Ending) -> bool:
    """Tell whether a call makes sense."""
    if style.from_headers_on and fault.before_headers:
        return False
    if way == "first chunk":
        return fault.silent
    if ending == "busy":
        return fault.name in ("fast", "bursts")  # there must be chunks without a wait for them
    if ending in ("hold", "slow"):
        return not fault.ends and not fault.silent
    return True
