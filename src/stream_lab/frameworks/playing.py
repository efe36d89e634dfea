"""Play a setting: run a player against servers, and read what both saw."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stream_lab.frameworks.environments import Environment
from stream_lab.frameworks.outcome import Outcome
from stream_lab.frameworks.registry import Framework, registry
from stream_lab.frameworks.servers import Pool, Server, requests

LINE = "@cell "
"""Begins each line of a player that is meant for us; frameworks print as well."""
STARTS_WITHIN = 150.0
"""Seconds for imports and warm-up calls, before the outer bound ends a player."""
QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "NO_PROXY": "127.0.0.1,localhost",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OPENAI_API_KEY": "none",
    "OTEL_SDK_DISABLED": "true",
}
"""Variables that keep frameworks from talking to anyone but the server."""
LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "OPENAI_BASE_URL")


_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True)
class Watch:
    """How cells are watched.

    Attributes:
        timeout: the seconds after which a call should end.
        length: the seconds after which a call counts as running for ever.
        pause: the seconds for which a suspended consumer does not pull.
    """

    timeout: float = 1.5
    length: float = 8.0
    pause: float = 4.0


def play(
    framework: Framework,
    setting: str,
    scenarios: Sequence[str],
    environment: Environment,
    pool: Pool,
    watch: Watch,
) -> dict[str, Outcome]:
    """Play scenarios under one setting, and return what happened.

    Cells share a process, a thread each; where the framework does not allow that, each has its own.
    """
    groups = [scenarios] if framework.side_by_side else [[each] for each in scenarios]
    played: dict[str, Outcome] = {}
    for group in groups:
        with pool.lend(framework.server, len(group)) as servers:
            played |= _play(framework, setting, group, environment, servers, watch)
    return played


def _play(
    framework: Framework,
    setting: str,
    scenarios: Sequence[str],
    environment: Environment,
    servers: Sequence[Server],
    watch: Watch,
) -> dict[str, Outcome]:
    cells = [
        {
            "setting": setting,
            "scenario": scenario,
            "plays": registry().scenarios[scenario].plays,
            "root": server.root,
            "timeout": framework.settings[setting].timeout or watch.timeout,
        }
        for scenario, server in zip(scenarios, servers, strict=True)
    ]
    given = {"cells": cells, "watch": watch.length, "pause": watch.pause}
    said, why = _run(
        [*environment.command, json.dumps(given)],
        framework.settings[setting].variables,
        STARTS_WITHIN + watch.length,
    )
    return {
        scenario: outcome(said[scenario], requests(server))
        if scenario in said
        else Outcome(unplayed=why)
        for scenario, server in zip(scenarios, servers, strict=True)
    }


def _run(
    command: Sequence[str], variables: dict[str, str], limit: float
) -> tuple[dict[str, dict[str, Any]], str]:
    """Run a player; return its lines by scenario, and why some may be missing."""
    home = tempfile.mkdtemp()  # some frameworks write into the user's home folder
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=home,
            env={**kept, **QUIET, "HOME": home, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        _running.add(process)
        try:
            printed, _ = process.communicate(timeout=limit)
            why = ""
        except subprocess.TimeoutExpired:
            printed, why = "", f"the player had not ended after {limit:g} s"
        finally:
            _running.discard(process)
            _kill(process)
            process.wait()
            shutil.rmtree(home, ignore_errors=True)
        errors.seek(0)
        last = errors.read().strip().splitlines()[-1:] or ["it printed nothing"]
    lines = [
        json.loads(each[len(LINE) :]) for each in printed.splitlines() if each.startswith(LINE)
    ]
    why = why or f"the player ended with status {process.returncode}: {last[0][:300]}"
    return {each["scenario"]: each for each in lines}, why


def stop_players() -> None:
    """End all players, so that those who wait for them go on."""
    for process in tuple(_running):
        _kill(process)


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a player and what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def outcome(said: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Outcome:
    """Return what happened, on the clock of the call; all processes share a monotonic clock.

    Args:
        said: the fields of the player's note.
        entries: the ledger of the cell's server.
    """
    if said["unplayed"]:
        return Outcome(unplayed=said["unplayed"])
    started = said["started"]
    free = [
        each["slot_freed"] if each["slot_freed"] is not None else each["over"] for each in entries
    ]
    # A player that ends frees its servers as well; that does not count.
    is_free = bool(free) and all(at is not None and at < said["left"] for at in free)
    return Outcome(
        ended=None if said["ended"] is None else round(said["ended"] - started, 3),
        chain=tuple(said["chain"]),
        ours=said["ours"],
        chunks=said["chunks"],
        requests=len(entries),
        freed=round(max(free) - started, 3) if is_free else None,
    )
