"""Worlds: a Python and a set of packages, each in an environment of its own.

uv makes an environment once; its content names it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock

from stream_lab.cache import cache_folder
from stream_lab.errors import LabError
from stream_lab.notebooks.task import Kernel, canonical, versions_here
from stream_lab.regress.config import WorldSpec
from stream_lab.regress.snapshot import Snapshot

READY = "world.json"
KEPT_DAYS = 30
PINNED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^]]*])?==[^*]+$")


class WorldError(LabError):
    """Raised when a world cannot be made here; the text says why."""


@dataclass(frozen=True)
class Environment:
    """A world on this machine.

    Attributes:
        python: The path of its Python.
        kernel: The name of its kernel.
        jupyter: The folder where Jupyter finds that kernel.
        versions: Versions of Python and packages, by name.
    """

    python: str
    kernel: str
    jupyter: str
    versions: dict[str, str]


@dataclass(frozen=True)
class World:
    """The parts of a world, enough for another machine to make the same.

    Attributes:
        python: The version.
        requirements: The text of a file of pins; None: the environment of this process.
        on_top: Packages or wheels that replace those of the file.
    """

    name: str
    python: str | None
    requirements: str | None
    on_top: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, spec: WorldSpec, base: Path) -> "World":
        """Return the world of a configuration.

        Args:
            name: Its name.
            spec: Its part of the configuration.
            base: The folder that the configuration's paths start from.

        Raises:
            WorldError: Its file of requirements cannot be read.
        """
        if spec.requirements is None:
            return cls(name, None, None)
        try:
            text = (base / spec.requirements).read_text(encoding="utf-8")
        except OSError as error:
            raise WorldError(
                f"the world '{name}': {spec.requirements} cannot be read: {error.strerror}"
            ) from None
        except UnicodeDecodeError:
            raise WorldError(f"the world '{name}': {spec.requirements} is not UTF-8") from None
        on_top = tuple(
            str((base / item).resolve()) if _is_file(base / item) else item for item in spec.on_top
        )
        return cls(name, spec.python or ".".join(map(str, sys.version_info[:3])), text, on_top)

    @property
    def digest(self) -> str:
        """A name for the content: equal for equal content, under any name."""
        parts = [self.python or sys.version, self.requirements or sys.prefix]
        for item in self.on_top:
            path = Path(item)
            parts.append(hashlib.sha256(path.read_bytes()).hexdigest() if _is_file(path) else item)
        if not self._pinned:
            parts.append(date.today().isoformat())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def environment(self) -> Environment:
        """Return the environment; make it if need be, or wait for another process.

        Raises:
            WorldError: uv or this Python is missing, or the packages do not resolve.
        """
        if self.requirements is None:
            return Environment(
                sys.executable,
                "python3",
                str(Path(sysconfig.get_path("data")) / "share" / "jupyter"),
                versions_here(),
            )
        home = cache_folder("worlds")
        folder = home / self.digest[:16]
        with FileLock(home / f"{folder.name}.lock"):
            if not _works(folder):
                shutil.rmtree(folder, ignore_errors=True)
                _forget_the_unused(home)
                self._make(folder)
            os.utime(folder / READY)
        return Environment(**json.loads((folder / READY).read_text(encoding="utf-8")))

    @property
    def _pinned(self) -> bool:
        lines = [
            line.partition(";")[0].partition("#")[0].strip()
            for line in (self.requirements or "").splitlines()
        ]
        return all(
            PINNED.match(line) or _is_file(Path(line))
            for line in [*lines, *self.on_top]
            if line and line[0] != "-"
        )

    def _make(self, folder: Path) -> None:
        python = folder / "bin" / "python"
        asked = folder.with_suffix(".txt")
        asked.write_text(self.requirements or "", encoding="utf-8")
        try:
            self._uv(
                "venv", "--python", _of_pyenv(self.python or "") or self.python or "", str(folder)
            )
            self._uv("pip", "install", "--python", str(python), "-r", str(asked))
            if self.on_top:
                self._uv("pip", "install", "--python", str(python), *self.on_top)
            listed = self._uv("pip", "list", "--python", str(python), "--format", "json")
        except WorldError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            asked.unlink(missing_ok=True)
        versions = {canonical(entry["name"]): entry["version"] for entry in json.loads(listed)}
        told = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=True,
        )
        made = {
            "python": str(python),
            "kernel": f"world-{folder.name}",
            "jupyter": str(folder / "share" / "jupyter"),
            "versions": {"python": told.stdout.strip(), **versions},
        }
        _install_kernel(
            folder, f"world-{folder.name}", f"{self.name} (Python {told.stdout.strip()})"
        )
        (folder / READY).write_text(json.dumps(made), encoding="utf-8")

    def _uv(self, *arguments: str) -> str:
        done = subprocess.run(
            [_find_uv(), "--quiet", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            words = " ".join(
                done.stderr.replace("×", " ").replace("╰─▶", " ").replace("│", " ").split()
            )
            raise WorldError(f"the world '{self.name}' cannot be made: {words[:400]}")
        return done.stdout


@dataclass(frozen=True)
class WorldPlace:
    """A world together with the code that its notebooks import."""

    world: World
    code: Snapshot

    def kernel(self) -> Kernel:
        """Make the world if need be, and return its kernel.

        Raises:
            WorldError: The world cannot be made on this machine.
        """
        made = self.world.environment()
        variables = {"JUPYTER_PATH": made.jupyter, "PYTHONPATH": str(self.code.folder())}
        return Kernel(made.kernel, made.versions, variables)


def _install_kernel(folder: Path, name: str, title: str) -> None:
    place = folder / "share" / "jupyter" / "kernels" / name
    place.mkdir(parents=True)
    python = str(folder / "bin" / "python")
    spec = {
        "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": title,
        "language": "python",
        # A program that a notebook starts by name, as gunicorn, must be this world's.
        "env": {"VIRTUAL_ENV": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}${{PATH}}"},
    }
    (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _works(folder: Path) -> bool:
    """Return whether an environment is whole and in its first place: it cannot be moved."""
    ready, python = folder / READY, folder / "bin" / "python"
    return (
        ready.exists()
        and python.exists()
        and json.loads(ready.read_text(encoding="utf-8"))["python"] == str(python)
    )


def _find_uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = os.environ.get("UV") or (str(beside) if beside.exists() else shutil.which("uv"))
    if not found:
        raise WorldError("uv makes the worlds and is not installed; pip install uv")
    return found


def _of_pyenv(version: str) -> str | None:
    """Return the newest Python of this version that pyenv has.

    uv sees only those that pyenv shows globally.
    """
    roots = [
        Path(place).parent
        for place in os.environ.get("PATH", "").split(os.pathsep)
        if Path(place).name == "shims"
    ]
    found = [
        python
        for root in roots
        for python in root.glob(f"versions/{version}*/bin/python")
        if _is_version(python, version)
    ]
    return (
        str(
            max(found, key=lambda python: [int(part) for part in python.parents[1].name.split(".")])
        )
        if found
        else None
    )


def _is_version(python: Path, version: str) -> bool:
    name = python.parents[1].name
    return re.fullmatch(r"[0-9.]+", name) is not None and f"{name}.".startswith(f"{version}.")


def _is_file(path: Path) -> bool:
    return path.suffix in (".whl", ".gz") and path.is_file()


def _forget_the_unused(home: Path) -> None:
    """Remove worlds that no run has used for a month."""
    for ready in home.glob(f"*/{READY}"):
        if time.time() - ready.stat().st_mtime > KEPT_DAYS * 86400:
            shutil.rmtree(ready.parent, ignore_errors=True)
