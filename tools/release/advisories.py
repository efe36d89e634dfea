"""Known vulnerabilities of the pins, from a copy of the PyPA's advisory database.

The database is a repository of files in the OSV format, one for each advisory, in `vulns/PACKAGE/`.
Nothing here uses a network.
"""

import datetime
import hashlib
import json
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from release.checks import NOT_HERE, Check, checked
from release.distributions import ROOT
from release.pins import LOCKS, locks, pins

RECORD = LOCKS / "audit.json"
EXPLAINED = ROOT / "SECURITY.md"
MOST_DAYS = 30
"""Older advisories lack the findings of the days since, so they do not clear the pins."""


@dataclass(frozen=True, order=True)
class Finding:
    """A pin that an advisory names.

    Attributes:
        package: its name, as indexes spell it.
        version: the pinned version.
        advisory: the advisory's id.
        aliases: its other ids, such as a CVE.
        fixed: the versions that mend it, none if there is none yet.
        locks: the locks that have the pin.
    """

    package: str
    version: str
    advisory: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]
    locks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        names = ", ".join((self.advisory, *self.aliases))
        mended = f"mended in {', '.join(self.fixed)}" if self.fixed else "not mended yet"
        return f"{self.package} {self.version} ({', '.join(self.locks)}): {names}; {mended}"


def affects(advisory: dict[str, Any], package: str, version: str) -> bool:
    """Say whether an advisory in the OSV format names a version of a package.

    A withdrawn advisory names none. A version is named if it is listed, or lies in a range.
    Versions are compared by PEP 440, so that `1.0` is `1.0.0`.
    """
    if advisory.get("withdrawn"):
        return False
    return any(
        any(_same(listed, version) for listed in each.get("versions") or [])
        or any(
            _within(span["events"], Version(version))
            for span in each.get("ranges") or []
            if span["type"] == "ECOSYSTEM"
        )
        for each in advisory.get("affected") or []
        if canonicalize_name(each["package"]["name"]) == canonicalize_name(package)
    )


def _same(listed: str, version: str) -> bool:
    try:
        return Version(listed) == Version(version)
    except InvalidVersion:  # old releases have names such as 1.0-final-2
        return listed == version


def _within(events: list[dict[str, str]], version: Version) -> bool:
    inside = False
    for event in events:
        [(what, at)] = event.items()
        if what == "introduced":
            inside = inside or at == "0" or version >= Version(at)
        elif version > Version(at) or (what == "fixed" and version == Version(at)):
            inside = False
    return inside


def audit(database: Path) -> list[Finding]:
    """Look up every pin of every lock.

    Args:
        database: a checkout of the database.

    Raises:
        FileNotFoundError: the folder has no `vulns`, or no history that dates it.
    """
    if not (database / "vulns").is_dir() or not _state(database)[1]:
        raise FileNotFoundError(f"{database} is no checkout of the advisory database.")
    where: dict[tuple[str, str], list[str]] = {}
    for lock in locks():
        for pin in sorted(pins(lock)):
            where.setdefault(pin, []).append(lock.name)
    folders: dict[str, list[Path]] = {}
    for folder in (database / "vulns").iterdir():
        folders.setdefault(canonicalize_name(folder.name), []).append(folder)
    found = []
    for (package, version), names in where.items():
        of_package = folders.get(canonicalize_name(package), [])
        for file in sorted(file for folder in of_package for file in folder.glob("*.yaml")):
            advisory = yaml.safe_load(file.read_text(encoding="utf-8"))
            if affects(advisory, package, version):
                found.append(
                    Finding(
                        package,
                        version,
                        advisory["id"],
                        tuple(advisory.get("aliases") or ()),
                        tuple(_fixed(advisory)),
                        tuple(names),
                    )
                )
    return sorted(found)


def _fixed(advisory: dict[str, Any]) -> list[str]:
    return [
        event["fixed"]
        for each in advisory.get("affected") or []
        for span in each.get("ranges") or []
        if span["type"] == "ECOSYSTEM"
        for event in span["events"]
        if "fixed" in event
    ]


def explained() -> set[str]:
    """Return the advisories that the table of SECURITY.md explains."""
    return set(
        re.findall(r"^\| ((?:PYSEC|GHSA|CVE)-[\w-]+) \|", EXPLAINED.read_text("utf-8"), re.M)
    )


def unexplained(findings: list[Finding]) -> list[Finding]:
    """Return the findings that no row of that table has, by any of their ids."""
    known = explained()
    return [each for each in findings if not known & {each.advisory, *each.aliases}]


def record(database: Path, findings: list[Finding]) -> None:
    """Write which locks were audited, against which state of the database, and the findings."""
    commit, date = _state(database)
    content = {
        "database": {"commit": commit, "date": date},
        "locks": {lock.name: digest(lock) for lock in locks()},
        "pins": len(set().union(*(pins(lock) for lock in locks()))),
        "findings": [asdict(each) for each in findings],
    }
    RECORD.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _state(database: Path) -> tuple[str, str]:
    """Return the commit of a checkout and its date."""
    command = ["git", "log", "-1", "--format=%H %cs"]
    done = subprocess.run(command, cwd=database, capture_output=True, text=True, check=False)
    commit, _, date = done.stdout.strip().partition(" ")
    return commit, date


def digest(lock: Path) -> str:
    """Return what identifies a lock's pins."""
    lines = "\n".join(f"{name}=={version}" for name, version in sorted(pins(lock)))
    return hashlib.sha256(lines.encode()).hexdigest()


def recorded(today: datetime.date) -> list[Check]:
    """Check that the record is recent, has these locks, and each finding is explained."""
    with checked("audit", "requirements/*.txt") as check:
        content = json.loads(RECORD.read_text(encoding="utf-8"))
        date = content["database"]["date"]
        days = (today - datetime.date.fromisoformat(date)).days
        changed = [lock.name for lock in locks() if content["locks"].get(lock.name) != digest(lock)]
        findings = [
            Finding(**each | {key: tuple(each[key]) for key in ("aliases", "fixed", "locks")})
            for each in content["findings"]
        ]
        if open_ones := unexplained(findings):
            check.fail(open_ones[0].sentence)
        elif changed:
            check.result = NOT_HERE
            check.text = f"{', '.join(changed)} changed since the audit; make audit DATABASE=…"
        elif days > MOST_DAYS:
            check.result = NOT_HERE
            check.text = f"the advisories of {date} are {days} days old; make audit DATABASE=…"
        else:
            check.text = f"{content['pins']} pins, advisories of {date}, {len(findings)} explained"
    return [check]
