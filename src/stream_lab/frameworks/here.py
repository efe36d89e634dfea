"""Play with the packages of this very environment: frameworks, and a reader's own player."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stream_lab.frameworks.environments import Environment, named_packages
from stream_lab.frameworks.judge import Verdict, judge
from stream_lab.frameworks.outcome import Outcome
from stream_lab.frameworks.players import protocol
from stream_lab.frameworks.playing import Watch, outcome, play
from stream_lab.frameworks.registry import PLAYERS, Framework, registry
from stream_lab.frameworks.servers import Pool, requests
from stream_lab.frameworks.survey import Row

SLACK = 0.8
"""Seconds that a call may be late in a notebook, whose machine does other things as well."""
TRYING = Watch(timeout=1.0, length=2.5, pause=2.3)
NOWHERE = "http://127.0.0.1:9"  # a port on which nothing listens


@dataclass(frozen=True)
class Tried:
    """A cell of a reader's own player: what happened, and the verdict on it."""

    outcome: Outcome
    verdict: Verdict


def environment_here(framework: Framework) -> Environment:
    """Return this environment as the one of a framework, with the versions that are here."""
    versions = {}
    for name in named_packages(framework):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return Environment((sys.executable, str(PLAYERS / framework.player)), Path(), versions)


def play_here(
    names: Sequence[str], setting: str, scenarios: Sequence[str], watch: Watch
) -> dict[str, Row]:
    """Play one setting of frameworks that are installed here, side by side.

    Args:
        names: the frameworks, by their names in the registry.
        setting: the name of the setting; each of them has it.
        scenarios: the names of the behaviours.
        watch: how cells are watched.
    """
    frameworks = {name: registry().frameworks[name] for name in names}
    places = {name: environment_here(each) for name, each in frameworks.items()}
    day = datetime.now(UTC).date().isoformat()
    with Pool() as pool, ThreadPoolExecutor(len(names)) as threads:
        running = {
            name: threads.submit(play, each, setting, scenarios, places[name], pool, watch)
            for name, each in frameworks.items()
        }
        return {
            name: Row({setting: each.result()}, places[name].versions, day=day)
            for name, each in running.items()
        }


def try_player(
    prepare: Callable[[protocol.Cell], Any], scenarios: Sequence[str], watch: Watch = TRYING
) -> dict[str, Tried]:
    """Play a player in threads of this process, and judge each cell.

    Args:
        prepare: makes a client for a cell, and returns what asks a question with it.
        scenarios: the names of the behaviours.
        watch: how cells are watched.

    Raises:
        NotImplementedError: the player is still a skeleton.
    """
    _refuse_a_skeleton(prepare)
    with Pool() as pool, pool.lend("fake", len(scenarios)) as servers:
        cells = [
            protocol.Cell(
                "timeout", each, registry().scenarios[each].plays, server.root, watch.timeout
            )
            for each, server in zip(scenarios, servers, strict=True)
        ]
        notes = protocol.watch(prepare, cells, watch.length, watch.pause)
        found = {
            note.cell.scenario: outcome(vars(note), requests(server))
            for note, server in zip(notes, servers, strict=True)
        }
    return {
        name: Tried(each, judge(each, name, watch.timeout, SLACK)) for name, each in found.items()
    }


def _refuse_a_skeleton(prepare: Callable[[protocol.Cell], Any]) -> None:
    """Prepare a cell without a server, to raise a skeleton's error before servers start."""
    cell = protocol.Cell("timeout", "endless", "endless", NOWHERE, TRYING.timeout)

    async def prepared() -> None:
        made = prepare(cell)
        if inspect.isawaitable(made):
            await made

    try:
        asyncio.run(prepared())
    except NotImplementedError:
        raise
    except Exception:  # whatever else is wrong shows when it is played
        return
