"""Set the version of the three distributions, and date the changelog.

It changes the three `__init__.py`, the laboratory's requirements of its siblings, CITATION.cff and
CHANGELOG.md, and commits nothing. `make version NEW=0.2.0` calls it.
"""

import datetime
import re
import sys
from pathlib import Path

from packaging.version import Version
from release.distributions import DISTRIBUTIONS, ROOT, version


def changes(new: str, today: datetime.date, root: Path = ROOT) -> dict[Path, str]:
    """Return the new text of each file that names the version.

    Args:
        new: the version, such as `0.2.0`.
        today: the date of the release.
        root: the checkout.
    """
    major, minor, _ = new.split(".")
    bounds = f">={major}.{minor},<{major}.{int(minor) + 1}"
    edits: list[tuple[str, str, str]] = [
        (f"{each.folder}/__init__.py", r'(?m)^__version__ = ".+"$', f'__version__ = "{new}"')
        for each in DISTRIBUTIONS
    ]
    edits += [
        ("src/stream_lab/pyproject.toml", rf'"{name}>=[\d.]+,<[\d.]+"', f'"{name}{bounds}"')
        for name in ("stream-deadline", "fake-vllm")
    ]
    edits += [
        ("CITATION.cff", r"(?m)^version: .+$", f"version: {new}"),
        ("CITATION.cff", r"(?m)^date-released: .+$", f"date-released: {today}"),
        ("CHANGELOG.md", r"(?m)^## \[Unreleased\]$", f"## [Unreleased]\n\n## [{new}] - {today}"),
    ]
    texts: dict[Path, str] = {}
    for name, pattern, replacement in edits:
        path = root / name
        text = texts.get(path) or path.read_text(encoding="utf-8")
        texts[path], count = re.subn(pattern, replacement, text)
        if count != 1:
            raise LookupError(f"{name} has {count} places for {pattern}")
    return texts


def refusal(new: str) -> str:
    """Return why a version cannot be the next one, or nothing."""
    if not re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", new):
        return f"'{new}' is no version of three numbers, such as 0.2.0: make version NEW=0.2.0."
    released = f"## [{version()}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if Version(new) < Version(version()) or (released and new == version()):
        return f"{new} does not come after {version()}."
    return ""


if __name__ == "__main__":
    wanted = sys.argv[1]
    if reason := refusal(wanted):
        sys.exit(f"version: {reason}")
    for path, text in changes(wanted, datetime.datetime.now(datetime.UTC).date()).items():
        path.write_text(text, encoding="utf-8")
    print(f"The version is {wanted}. Look at git diff, then docs/releasing.md.")
