"""Environments for servers of other projects, made once in the cache with pip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from rich.console import Console

from stream_lab.cache import cache_folder
from stream_lab.errors import LabError
from stream_lab.processes.backends.recipe import Environment, Place, Recipe


class RealServerError(LabError):
    """Raised when a real server cannot be set up or started; the text says why."""


def place_for(recipe: Recipe, port: int, console: Console) -> Place:
    """Install what a recipe needs, make its model, and return its place.

    Raises:
        RealServerError: the disk is full, or a command failed.
    """
    folder = cache_folder(recipe.environment.name)
    with FileLock(folder / "lock"):
        place = Place(folder, install(recipe.environment, console), port)
        for made, command in recipe.prepare(place).items():
            if not made.exists():
                with console.status(f"{recipe.name}: making its model …"):
                    _run(command)
    return place


def install(environment: Environment, console: Console) -> Path:
    """Return the interpreter of an environment, and install it if necessary.

    It is installed again if the last installation was interrupted, or had other packages.

    Raises:
        RealServerError: the disk is full, or the installation failed.
    """
    folder = cache_folder(environment.name)
    venv = folder / "venv"
    python = venv / "bin" / "python"
    ready, packages = venv / ".ready", "\n".join(environment.packages)
    if ready.exists() and ready.read_text(encoding="utf-8") == packages:
        return python
    free = shutil.disk_usage(folder).free
    if free < environment.disk:
        raise RealServerError(
            f"The installation needs {environment.disk / 1e9:.0f} GB on disk, "
            f"and {free / 1e9:.1f} GB are free; "
            f"make room in {home(folder)}."
        )
    shutil.rmtree(venv, ignore_errors=True)
    with console.status(
        f"Installing {environment.packages[0]} (only once): {environment.minutes} …"
    ):
        _run([sys.executable, "-m", "venv", str(venv)])
        # pip and not uv, since it honours a machine's own store of wheels (PIP_FIND_LINKS), and
        # torch is most of the download.
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", *environment.packages], environment.variables)
        if environment.unwanted:
            _run([*pip, "uninstall", "--yes", *environment.unwanted])
    ready.write_text(packages, encoding="utf-8")
    return python


def home(path: Path) -> str:
    """Return a path with ~ for the user's home folder."""
    return str(path).replace(str(Path.home()), "~", 1)


def _run(command: list[str], variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(variables or {})},
    )
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or [
            "no reason given"
        ]
        hint = (
            " Name an index with PyTorch's CPU wheels in PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS."
            if "torch" in lines[-1]
            else ""
        )
        raise RealServerError(f"Setting up the server failed: {lines[-1].rstrip('.')}.{hint}")
