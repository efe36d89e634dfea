"""The plan of a run: its cells, its outputs and its baseline."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from pydantic import ValidationError

from stream_lab.bounded_yaml import HALF
from stream_lab.regress import snapshot
from stream_lab.regress.compare import NO_BASELINE, Baseline
from stream_lab.regress.config import Config, ConfigError
from stream_lab.regress.grid import Cell, cells
from stream_lab.regress.history import History, baseline_of
from stream_lab.regress.store import LARGEST, Store, new_name
from stream_lab.regress.summary import parse
from stream_lab.regress.worlds import World, WorldError
from stream_lab.regular_file import NotRegular, read_regular
from stream_lab.untrusted import one_line, read_json

LAST = "last"
RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class Plan:
    """A run that is about to begin or to go on.

    Attributes:
        base: The folder that the configuration's paths start from.
        earlier: The outputs with the rows of an earlier session; None: there is none. Those of this
            run, if it was interrupted, or those of a finished run, which stay as they are.
        continues: The name of the finished run that this one goes on with; empty: none.
        chosen_baseline: Whether the baseline was named, and is not just the default.
    """

    config: Config
    base: Path
    cells: list[Cell]
    name: str
    store: Store
    history: History
    baseline: Baseline
    earlier: Store | None
    continues: str = ""
    chosen_baseline: bool = False

    def digests(self) -> dict[str, str]:
        """Return, by cell, a name for everything that decides its result."""
        config = self.config
        code = snapshot.digest()
        worlds = {name: _world_digest(name, config, self.base) for name in config.worlds}
        servers = {
            name: spec.model_dump_json(exclude={"jobs"}) for name, spec in config.endpoints.items()
        }
        limits = config.limits.model_dump_json(exclude={"slow"})

        def digest(cell: Cell) -> str:
            parts = [
                code,
                worlds[cell.world],
                servers[cell.endpoint],
                cell.notebook.digest,
                json.dumps(cell.parameters),
                limits,
            ]
            return hashlib.sha256("\n".join(parts).encode()).hexdigest()

        return {cell.name: digest(cell) for cell in self.cells}


def build_plan(
    config: Config,
    base: Path,
    *,
    against: str = LAST,
    resume: bool = False,
    name: str | None = None,
    select: Callable[[list[str]], list[str]] = list,
) -> Plan:
    """Build the plan of a new run, or of one that goes on.

    Args:
        config: The configuration.
        base: The folder that its paths start from.
        against: The baseline: `last`, a summary.json, or the name of a run.
        resume: Whether to go on with an earlier run, called `name` or else the newest.
        name: The run's name; None: the time, for a new run.
        select: Chooses among the names of the cells.

    Raises:
        ConfigError: A notebook, a rule, a run or a baseline is not there.
        StoreError: The outputs cannot be read.
        HistoryError: The history cannot be read.
    """
    if name is not None and HALF.search(name):
        raise ConfigError(f"The run's name '{one_line(name)}' is not UTF-8; choose another one.")
    every = cells(config, base)
    names = set(select([cell.name for cell in every]))
    chosen = [cell for cell in every if cell.name in names]
    place = Store(config.outputs if "://" in config.outputs else str(base / config.outputs))
    history = History(base / config.history)
    if resume:
        runs = place.runs()
        if not runs or (name is not None and name not in runs):
            called = f"run {name}" if name else "run"
            raise ConfigError(
                f"There is no {called} to go on with in {place.shown}; start one without --resume."
            )
        earlier = place.run(name or runs[-1])
        name, continues = _gone_on(name or runs[-1], earlier, runs)
    else:
        if name is not None and name in place.runs():
            raise ConfigError(
                f"There is a run {name} already; go on with it by --resume, or choose another name."
            )
        name = name or new_name(datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S"))
        earlier, continues = None, ""
    return Plan(
        config,
        base,
        chosen,
        name,
        place.run(name),
        history,
        _baseline(against, history, place, [cell.name for cell in chosen], but=name),
        earlier,
        continues,
        against != LAST,
    )


def _gone_on(name: str, outputs: Store, runs: list[str]) -> tuple[str, str]:
    """Return a resumed run's name, and that of the finished run that it continues.

    A finished run is never rewritten: its verdict is in the history, and may be a baseline.
    """
    if outputs.read(SUMMARY_FILE) is None:
        try:
            body = read_json(outputs.read(RUN_FILE) or "{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ConfigError(
                f"The run {name} cannot be gone on with, since its {RUN_FILE} is not one of this "
                "program; start one without --resume."
            )
        return name, str(body.get("continues", ""))
    numbered = (f"{name}-{number:02}" for number in count(2))
    return next(other for other in numbered if other not in runs), name


def _baseline(against: str, history: History, place: Store, names: list[str], but: str) -> Baseline:
    if against == LAST:
        return history.last_good(names, but=but) or NO_BASELINE
    # The history has no name that is not UTF-8, but a file may have one.
    past = history.run(against) if not HALF.search(against) else None
    if past is not None:
        return baseline_of(past)
    text = (
        place.run(against).read(SUMMARY_FILE)
        if "/" not in against and against in place.runs()
        else None
    )
    if text is None:
        try:
            text = read_regular(Path(against), LARGEST).decode()
        except NotRegular as error:
            raise ConfigError(f"The baseline {against} cannot be used: {error}.") from None
        except (OSError, ValueError):  # not there, not UTF-8, or no name of a file
            raise ConfigError(
                f"The baseline {against} is neither a run of the history nor a summary.json that "
                "can be read."
            ) from None
    try:
        summary = parse(text)
    except ValidationError:
        raise ConfigError(f"The baseline {against} is not the summary.json of a run.") from None
    return Baseline(f"the run {summary.run}", {row.cell: row for row in summary.rows})


def _world_digest(name: str, config: Config, base: Path) -> str:
    try:
        return World.of(name, config.worlds[name], base).digest
    except WorldError:
        return ""
