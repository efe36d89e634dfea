"""One environment for each distribution, with nothing in it but what its wheel asks for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = str(ROOT / ".venv" / "bin" / "uv")


class Installed:
    """An environment into which one requirement was installed from `dist/`."""

    def __init__(self, folder: Path, requirement: str, dist: Path) -> None:
        self.bin = folder / "bin"
        uv = [UV, "--quiet"]
        subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], check=True)
        install = ["pip", "install", "--python", str(self.bin / "python")]
        for name in ("stream-deadline", "fake-vllm", "stream-lab"):
            install += [
                "--refresh-package",
                name,
            ]  # the wheels of now, not those of an earlier build
        wheels = {**os.environ, "UV_FIND_LINKS": str(dist)}
        subprocess.run([*uv, *install, *requirement.split()], env=wheels, check=True)

    def run(self, *command: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a program of the environment, from a folder that is not the checkout."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=cwd or self.bin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def packages(self) -> set[str]:
        """Name the distributions that it has."""
        command = [UV, "pip", "list", "--format", "json", "--python", str(self.bin / "python")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return {entry["name"] for entry in json.loads(done.stdout)}


@pytest.fixture(scope="session")
def dist() -> Path:
    """The folder with the three wheels and sdists, which `make packages` names."""
    return ROOT / os.environ["TEST_PACKAGES"]


@pytest.fixture(scope="session")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installed]:
    """Give the environment with a requirement, made when it is first wanted."""
    made: dict[str, Installed] = {}

    def give(requirement: str) -> Installed:
        if requirement not in made:
            folder = tmp_path_factory.mktemp("alone") / "env"
            made[requirement] = Installed(folder, requirement, dist)
        return made[requirement]

    return give
