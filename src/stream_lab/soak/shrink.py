"""The smallest replay of a violation: the call alone, else with a few others."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from stream_lab.soak.stage import Played, Violation

TRIES = 3
"""How often calls are played again before a violation counts as not reproduced."""
PATIENCE = 90.0
"""Seconds after which the smallest replay so far has to do."""

Play = Callable[[Sequence[int]], Awaitable[Played]]


@dataclass(frozen=True)
class Replay:
    """How a violation can be seen again.

    Attributes:
        violation: the violation.
        numbers: the calls to play. Empty: it was not seen again.
        tries: how many of the tries with these calls showed it, and how many there were.
    """

    violation: Violation
    numbers: tuple[int, ...]
    tries: tuple[int, int]

    def sentence(self, seed: str) -> str:
        """Return what to do, in words."""
        seen, tries = self.tries
        if not self.numbers:
            whole = compact(self.violation.round)
            return (
                f"It did not come again, neither alone nor with its whole round, in {tries} tries. "
                f"It came in: stream-lab soak --seed {seed} --only {whole}"
            )
        alone = "alone" if len(self.numbers) == 1 else f"with {len(self.numbers)} calls at once"
        return (
            f"It came again {alone}, in {seen} of {tries} tries: "
            f"stream-lab soak --seed {seed} --only {compact(self.numbers)}"
        )


def kind(violation: Violation) -> str:
    """Return the text without what differs between two violations of one kind."""
    return re.sub(r"[0-9.]+|0x[0-9a-f]+|\(.*", "#", violation.what)


async def shrink(play: Play, violation: Violation, patience: float = PATIENCE) -> Replay:
    """Play calls again, and return the fewest that showed the violation.

    Args:
        play: plays the calls with these numbers at once.
        violation: what was seen.
        patience: seconds after which to settle for the smallest so far.
    """
    until = time.monotonic() + patience
    own = [] if violation.plan is None else [violation.plan.number]
    tried = 0

    async def shows(numbers: Sequence[int], times: int) -> int:
        nonlocal tried
        seen = 0
        for _ in range(times):
            tried += 1
            played = await play(sorted(numbers))
            seen += any(_is_same(each, violation) for each in played.violations)
        return seen

    if own and (seen := await shows(own, TRIES)):
        return Replay(violation, tuple(own), (seen, TRIES))
    group, seen, tries = list(violation.round), 0, 0
    while time.monotonic() < until and not seen and tries < TRIES:
        seen, tries = seen + await shows(group, 1), tries + 1
    if not seen:
        return Replay(violation, (), (0, tried))
    while len(group) > 1 and time.monotonic() < until:
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            fewer = sorted({*half, *own})
            if len(fewer) < len(group) and (found := await shows(fewer, 1)):
                group, seen, tries = fewer, found, 1
                break
        else:
            break
    return Replay(violation, tuple(group), (seen, tries))


def _is_same(seen: Violation, violation: Violation) -> bool:
    if (seen.plan is None) != (violation.plan is None):
        return False
    same_call = (
        seen.plan is None or violation.plan is None or (seen.plan.number == violation.plan.number)
    )
    return same_call and kind(seen) == kind(violation)


def compact(numbers: Sequence[int]) -> str:
    """Return numbers as `--only` takes them: 3,7-12."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)
