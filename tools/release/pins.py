"""The pins of the locks in requirements/."""

import re
from pathlib import Path

from packaging.utils import canonicalize_name

from release.distributions import ROOT

LOCKS = ROOT / "requirements"


def pins(lock: Path) -> set[tuple[str, str]]:
    """Return the packages of a lock with their versions; markers may give a package several."""
    found = re.findall(
        r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {(canonicalize_name(name), version) for name, version in found}


def locks() -> list[Path]:
    """Return the locks, by name."""
    return sorted(LOCKS.glob("*.txt"))
