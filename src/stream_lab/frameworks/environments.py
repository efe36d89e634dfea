"""An environment of its own for each set of packages, made once in the cache."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

import stream_deadline
from stream_lab.cache import cache_folder
from stream_lab.errors import LabError
from stream_lab.frameworks.registry import PLAYERS, Framework

OURS = "stream-deadline"
BESIDE = ("openai", "httpx", "httpx2", "aiohttp")
"""Packages whose versions matter to every framework that uses them."""
NO_NETWORK = re.compile(
    r"error sending request|failed to lookup|dns error|connect error|ENOTFOUND|ECONNREFUSED"
    r"|EAI_AGAIN|ETIMEDOUT|client error \(Connect\)|network",
    re.IGNORECASE,
)


class InstallError(LabError):
    """Raised when packages of a framework do not install; the text says why."""


class NoNetwork(LabError):
    """Raised when no package can be downloaded."""


class NoNode(LabError):
    """Raised when Node.js or npm is missing."""


@dataclass(frozen=True)
class Environment:
    """Where a player runs.

    Attributes:
        command: the program and the player.
        folder: its working folder.
        versions: of the packages that matter, by name.
    """

    command: tuple[str, ...]
    folder: Path
    versions: dict[str, str]


def check_programs(frameworks: Sequence[Framework]) -> None:
    """Check that what installs and runs frameworks is here.

    Raises:
        InstallError: uv is missing.
        NoNode: Node.js or npm is missing.
    """
    for framework in frameworks:
        if framework.language == "node":
            _program("node")
            _program("npm")
        else:
            _uv()


def environment(framework: Framework) -> Environment:
    """Return the environment of a framework, and make it if it is missing.

    Raises:
        InstallError: its packages do not install.
        NoNetwork: they cannot be downloaded.
        NoNode: it needs Node.js, which is missing.
    """
    key = [framework.language, *framework.packages, sys.version.split()[0], *_own_package()]
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:10]
    name = re.sub(r"[^a-z0-9]+", "-", framework.packages[0].lower()).strip("-")
    folder = cache_folder("frameworks") / f"{name}-{digest}"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        ready = folder / "versions.json"
        if not ready.exists():
            make = _make_python if framework.language == "python" else _make_node
            ready.write_text(json.dumps(make(framework, folder)), encoding="utf-8")
        versions = json.loads(ready.read_text(encoding="utf-8"))
        if framework.language == "python":
            command = (str(_python(folder)), str(PLAYERS / framework.player))
        else:
            # Node looks for packages beside the program, wherever it is run.
            for file in ("protocol.mjs", framework.player):
                shutil.copyfile(PLAYERS / file, folder / file)
            command = (_program("node"), str(folder / framework.player))
    return Environment(command, folder, versions)


def _own_package() -> list[str]:
    """Return what installs this library: the checkout's folder, or the version that is here."""
    folder = Path(stream_deadline.__file__).parent
    if (folder / "pyproject.toml").is_file():
        return ["--editable", str(folder)]
    return [f"{OURS}=={version(OURS)}"]


def _python(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def _make_python(framework: Framework, folder: Path) -> dict[str, str]:
    uv, python = _uv(), _python(folder)
    shutil.rmtree(folder / "venv", ignore_errors=True)
    _run([uv, "--quiet", "venv", "--python", sys.executable, str(folder / "venv")], folder)
    install = [uv, "--quiet", "pip", "install", "--python", str(python)]
    _run([*install, *_own_package(), *framework.packages], folder)
    listed = _run([uv, "pip", "list", "--python", str(python), "--format", "json"], folder)
    found = {each["name"]: each["version"] for each in json.loads(listed)}
    return {name: found[name] for name in named_packages(framework) if name in found}


def _make_node(framework: Framework, folder: Path) -> dict[str, str]:
    npm = _program("npm")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    _run([npm, "install", "--loglevel=error", "--no-package-lock", *framework.packages], folder)
    versions = {}
    for name in framework.packages:
        described = (folder / "node_modules" / name / "package.json").read_text(encoding="utf-8")
        versions[name] = str(json.loads(described)["version"])
    return versions


def named_packages(framework: Framework) -> list[str]:
    """Return the packages of a framework whose versions belong into its row."""
    return [*(re.split(r"[\[<>=~! ]", each)[0] for each in framework.packages), *BESIDE]


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = os.environ.get("UV") or (str(beside) if beside.exists() else shutil.which("uv"))
    if not found:
        raise InstallError("uv makes the environments and is not installed; pip install uv.")
    return found


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoNode(
            f"{name} is not installed, and frameworks for JavaScript need Node.js 20 or newer; "
            "install it, or leave them out with --only."
        )
    return found


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or "no reason given"
        if NO_NETWORK.search(said):
            raise NoNetwork(
                "The packages of the frameworks cannot be downloaded. Is there a network?"
            )
        words = re.sub(r"https?://\S+", "…", " ".join(said.split()))
        raise InstallError(f"its packages do not install: {words[:300].rstrip('.')}.")
    return done.stdout
