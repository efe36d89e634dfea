"""The three distributions, their folders, and the one version that they share."""

import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
UV = str(ROOT / ".venv" / "bin" / "uv")
TOOLS = ROOT / ".venv-packages" / "bin"
"""The programs of the group `packages`, which `make packages` installs."""


@dataclass(frozen=True)
class Distribution:
    """A distribution and the folder that is its package.

    Attributes:
        name: the name on the index, such as `fake-vllm`.
        folder: the folder, from the project's root.
    """

    name: str
    folder: str

    @property
    def package(self) -> str:
        return Path(self.folder).name

    @property
    def pyproject(self) -> Path:
        return ROOT / self.folder / "pyproject.toml"

    def wheel(self, dist: Path) -> Path:
        """Return its wheel in a folder."""
        [wheel] = dist.glob(f"{self.package}-*.whl")
        return wheel


DISTRIBUTIONS = (
    Distribution("stream-deadline", "src/stream_deadline"),
    Distribution("fake-vllm", "fake_vllm"),
    Distribution("stream-lab", "src/stream_lab"),
)


def version() -> str:
    """Return the version; the library's `__init__.py` is the place where it is set."""
    text = (ROOT / DISTRIBUTIONS[0].folder / "__init__.py").read_text(encoding="utf-8")
    [found] = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


def described(distribution: Distribution) -> dict[str, Any]:
    """Return the table `project` of a distribution's pyproject.toml."""
    project: dict[str, Any] = tomllib.loads(distribution.pyproject.read_text("utf-8"))["project"]
    return project


def environment(**added: str) -> dict[str, str]:
    """Return this process's environment without the variables that direct a Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, **added}


def uv(*words: str, timeout: float = 600.0, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the project's uv, and return what it wrote.

    Args:
        words: its arguments.
        timeout: seconds after which it is killed.
        variables: environment variables to add.
    """
    return subprocess.run(
        [UV, "--quiet", *words],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
