"""The survey: play every setting of every chosen framework, two at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import Any

from stream_lab.frameworks.environments import (
    Environment,
    InstallError,
    check_programs,
    environment,
)
from stream_lab.frameworks.judge import Mark, judge
from stream_lab.frameworks.outcome import Outcome
from stream_lab.frameworks.playing import Watch, play, stop_players
from stream_lab.frameworks.registry import Framework, registry
from stream_lab.frameworks.servers import Pool

JOBS = 2
SPOILT = 1.0
"""Seconds of lateness up to which a busy machine may be the reason, so that a cell is repeated."""

Played = dict[str, dict[str, Outcome]]
Tell = Callable[[str, int], None]


@dataclass
class Row:
    """The results of one framework.

    Attributes:
        played: outcomes by setting and scenario.
        versions: of the packages that were played.
        unplayed: why it could not be played. Empty: it was.
        day: when it was played.
    """

    played: Played = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    unplayed: str = ""
    day: str = ""

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Row":
        played = {
            setting: {name: Outcome.from_json(each) for name, each in cells.items()}
            for setting, cells in given["played"].items()
        }
        return cls(played, given["versions"], given["unplayed"], given["day"])

    def as_json(self) -> dict[str, Any]:
        played = {
            setting: {name: each.as_json() for name, each in cells.items()}
            for setting, cells in self.played.items()
        }
        return {**vars(self), "played": played}


def survey(
    frameworks: Sequence[str],
    watch: Watch,
    tell: Tell = lambda words, settings: None,
    find: Callable[[Framework], Environment] = environment,
) -> dict[str, Row]:
    """Play frameworks, and return their results.

    Args:
        frameworks: their names in the registry.
        watch: how cells are watched.
        tell: called with what happens now, and how many settings have just been played.
        find: returns the environment of a framework.

    Raises:
        NoNetwork: packages cannot be downloaded.
        NoNode: Node.js is missing.
    """
    check_programs([registry().frameworks[name] for name in frameworks])
    rows = {name: Row(day=datetime.now(UTC).date().isoformat()) for name in frameworks}
    with Pool() as pool, ThreadPoolExecutor(JOBS) as threads:

        def setting(name: str, each: str, place: Environment) -> tuple[str, str, Any]:
            try:
                return name, each, _repeated(registry().frameworks[name], each, place, pool, watch)
            finally:
                tell(name, 1)

        waiting = []
        try:
            for name in frameworks:
                framework = registry().frameworks[name]
                rows[name].unplayed = framework.unplayable
                try:
                    if not framework.unplayable:
                        tell(f"{name}: installing", 0)
                        place = find(framework)
                        rows[name].versions = place.versions
                        waiting += [
                            threads.submit(setting, name, each, place)
                            for each in framework.settings
                        ]
                except InstallError as error:
                    rows[name].unplayed = str(error)
            for future in waiting:
                name, each, outcomes = future.result()
                rows[name].played[each] = outcomes
        except BaseException:
            stop_players()
            threads.shutdown(wait=True, cancel_futures=True)
            raise
    return rows


def _repeated(
    framework: Framework, setting: str, place: Environment, pool: Pool, watch: Watch
) -> dict[str, Outcome]:
    """Play a setting, and once more what a busy machine may have made late."""
    scenarios = [each for each in registry().scenarios if each not in framework.without]
    outcomes = play(framework, setting, scenarios, place, pool, watch)
    limit = framework.settings[setting].timeout or watch.timeout
    late = {
        each: by
        for each, outcome in outcomes.items()
        if (by := _spoilt(outcome, each, limit)) is not None
    }
    for each, by in late.items():
        again = play(framework, setting, [each], place, pool, watch)[each]
        outcomes[each] = changed(again, late_before=by)
    return outcomes


def _spoilt(outcome: Outcome, scenario: str, timeout: float) -> float | None:
    """Return how late a cell was in seconds, if it was a little late."""
    if judge(outcome, scenario, timeout).mark not in (Mark.LATE, Mark.BUSY):
        return None
    latest = max(outcome.freed or 0.0, outcome.ended or 0.0 if scenario != "suspended" else 0.0)
    late = latest - timeout
    return round(late, 3) if outcome.freed is not None and 0 < late < SPOILT else None
