"""The headings of CHANGELOG.md, and whether they agree with the version and with a tag."""

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from release.checks import Check, checked
from release.distributions import ROOT, version

CHANGELOG = ROOT / "CHANGELOG.md"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""The sections that Keep a Changelog knows, in its order."""


@dataclass(frozen=True)
class Release:
    """A heading of the second level, and what is below it.

    Attributes:
        name: the version, or `Unreleased`.
        date: the day as `2026-11-27`, None for what is not released.
        kinds: the sections.
    """

    name: str
    date: str | None
    kinds: tuple[str, ...]


def releases(path: Path = CHANGELOG) -> list[Release]:
    """Return the releases, newest first, with `Unreleased` before them."""
    parts = re.split(r"(?m)^## ", path.read_text(encoding="utf-8"))[1:]
    found = []
    for part in parts:
        heading = re.match(r"\[(.+?)\](?: - (.+))?\n", part)
        if heading is None:
            found.append(Release(part.partition("\n")[0], None, ()))
            continue
        kinds = tuple(re.findall(r"(?m)^### (.+)$", part))
        found.append(Release(heading[1], heading[2], kinds))
    return found


def faults(found: list[Release], current: str) -> list[str]:
    """Say what breaks the form, or disagrees with the version in the packages.

    Args:
        found: the releases of the file.
        current: the version in the packages.
    """
    if not found or found[0] != Release("Unreleased", None, found[0].kinds):
        return ["the first heading is not '## [Unreleased]'"]
    said = []
    for each in found[1:]:
        if not re.fullmatch(r"\d+\.\d+\.\d+", each.name):
            said.append(f"'{each.name}' is not a version of three numbers")
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", each.date or ""):
            said.append(f"{each.name} has no date such as 2026-11-27")
    said += [
        f"{each.name} has the section {kind}, which is not one of {', '.join(KINDS)}"
        for each in found
        for kind in each.kinds
        if kind not in KINDS
    ]
    said += [
        f"{each.name} has its sections twice or in another order than {', '.join(KINDS)}"
        for each in found
        if list(each.kinds) != [kind for kind in KINDS if kind in each.kinds]
    ]
    if said:
        return said
    versions = [Version(each.name) for each in found[1:]]
    if versions != sorted(set(versions), reverse=True):
        said.append("the versions do not fall from top to bottom")
    elif versions and versions[0] != Version(current):
        said.append(f"the newest heading is {versions[0]}, and the packages are {current}")
    elif not versions and not found[0].kinds:
        said.append(f"nothing is written about {current}")
    return said


def check_version(tag: str | None) -> list[Check]:
    """Check the changelog against the version, and a tag against both.

    Args:
        tag: such as `v0.2.0`, None if nothing is released now.
    """
    with checked("version", tag or version()) as check:
        found = releases()
        said = faults(found, version())
        if tag and tag != f"v{version()}":
            said.append(f"the tag is {tag}, and the packages are {version()}")
        if tag and version() not in [each.name for each in found]:
            said.append(f"CHANGELOG.md has no heading for {version()}")
        if said:
            check.fail("; ".join(said))
        else:
            check.text = "released" if version() in [each.name for each in found] else "unreleased"
    return [check]
