"""Build the three wheels and sdists: the same bytes from the same commit.

.venv/bin/python tools/build_packages.py dist
"""

import subprocess
import sys
from pathlib import Path

from release.distributions import DISTRIBUTIONS, ROOT, uv


def epoch() -> str:
    """Return the time of the last commit in seconds, which every archived file gets."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "1580601600"  # an unpacked sdist has no history


def build(tree: Path, out: Path, *, seconds: str) -> str:
    """Build all three, and return the first error's text, or nothing.

    Args:
        tree: a checkout, or a copy of one.
        out: the folder for the archives.
        seconds: the time of the files inside, as `SOURCE_DATE_EPOCH`.
    """
    # Another release of the build backend writes other bytes, so its version is pinned too.
    pins = ROOT / "requirements" / "packages.txt"
    for each in DISTRIBUTIONS:
        words = ("build", "--out-dir", str(out), "--build-constraints", str(pins))
        done = uv(*words, str(tree / each.folder), SOURCE_DATE_EPOCH=seconds)
        if done.returncode:
            return done.stderr
    return ""


if __name__ == "__main__":
    if error := build(ROOT, ROOT / sys.argv[1], seconds=epoch()):
        sys.exit(error)
