"""The Pythons of this machine, by version."""

import os
import re
from pathlib import Path

from release.distributions import DISTRIBUTIONS, described, uv


def supported() -> list[str]:
    """Return the versions that the library's classifiers name, oldest first."""
    classifiers = described(DISTRIBUTIONS[0])["classifiers"]
    return [
        found[1]
        for each in classifiers
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
    ]


def find(version: str) -> str | None:
    """Return the path of a Python, or None if it is not installed.

    Args:
        version: such as `3.13`. uv looks on the PATH and among its own, and pyenv's are tried next.
    """
    asked = uv("python", "find", "--no-python-downloads", "--no-project", version)
    if asked.returncode == 0:
        return asked.stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), key=_patch)
    return str(found[-1]) if found else None


def _patch(python: Path) -> int:
    digits = re.match(r"\d+\.\d+\.(\d+)", python.parents[1].name)
    return int(digits[1]) if digits else -1
