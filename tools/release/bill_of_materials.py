"""A CycloneDX bill of materials for each distribution, with its extras, at the pins."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from build_packages import epoch
from packaging.utils import canonicalize_name

from release.checks import NOT_HERE, Check, checked
from release.distributions import (
    DISTRIBUTIONS,
    ROOT,
    TOOLS,
    Distribution,
    described,
    environment,
    uv,
    version,
)
from release.pins import LOCKS, pins


def bills_of_materials(dist: Path, out: Path) -> list[Check]:
    """Write `NAME-VERSION.cdx.json` for each distribution, checked against CycloneDX's schema.

    Args:
        dist: the folder with the wheels.
        out: the folder for the documents.
    """
    out.mkdir(parents=True, exist_ok=True)
    checks = []
    for each in DISTRIBUTIONS:
        with checked("sbom", each.name) as check, TemporaryDirectory() as folder:
            if not (TOOLS / "cyclonedx-py").exists():
                check.result, check.text = NOT_HERE, "cyclonedx-py; make packages installs it"
            elif error := _write(each, dist, out, Path(folder)):
                check.fail(error.strip().splitlines()[-1])
            else:
                file = _file(each, out)
                bill = json.loads(file.read_text(encoding="utf-8"))
                check.text = f"{len(bill['components'])} components: {file.relative_to(ROOT)}"
        checks.append(check)
    return checks


def _file(distribution: Distribution, out: Path) -> Path:
    return out / f"{distribution.package}-{version()}.cdx.json"


def _write(distribution: Distribution, dist: Path, out: Path, folder: Path) -> str:
    """Write one bill; return the error's text, or nothing."""
    python = folder / "env" / "bin" / "python"
    extras = ",".join(sorted(described(distribution).get("optional-dependencies", {})))
    wheel = f"{distribution.wheel(dist)}{f'[{extras}]' if extras else ''}"
    install = [
        "pip",
        "install",
        "--no-build",
        "--python",
        str(python),
        "--constraints",
        str(LOCKS / "latest.txt"),
    ]
    for each in DISTRIBUTIONS:
        install += ["--refresh-package", each.name]
    for words in (["venv", "--python", sys.executable, str(folder / "env")], [*install, wheel]):
        done = uv(*words, UV_FIND_LINKS=str(dist))
        if done.returncode:
            return done.stderr
    written = subprocess.run(
        [
            *(str(TOOLS / "cyclonedx-py"), "environment", str(python)),
            *("--pyproject", str(_with_version(distribution, folder)), "--mc-type", "library"),
            *("--output-reproducible", "--output-format", "JSON", "--spec-version", "1.6"),
            *("--validate", "--output-file", str(_file(distribution, out))),
        ],
        env=environment(SOURCE_DATE_EPOCH=epoch()),
        capture_output=True,
        text=True,
        check=False,
    )
    if written.returncode:
        return written.stderr
    return faults(json.loads(_file(distribution, out).read_text("utf-8")), distribution)


def _with_version(distribution: Distribution, folder: Path) -> Path:
    """Copy the pyproject.toml with the version in it, which cyclonedx-py does not compute."""
    text = distribution.pyproject.read_text(encoding="utf-8")
    copy = folder / "pyproject.toml"
    copy.write_text(
        text.replace('dynamic = ["version"]', f'version = "{version()}"'), encoding="utf-8"
    )
    return copy


def faults(bill: dict[str, Any], distribution: Distribution) -> str:
    """Return what a bill says wrongly of its distribution, or nothing."""
    subject = bill["metadata"]["component"]
    if (subject["name"], subject.get("version")) != (distribution.name, version()):
        return f"it is a bill of {subject['name']} {subject.get('version')}"
    unnamed = [each["name"] for each in bill["components"] if not each.get("version")]
    if unnamed:
        return f"no version of {unnamed[0]}"
    known = {name for name, _ in pins(LOCKS / "latest.txt")} | {each.name for each in DISTRIBUTIONS}
    foreign = sorted({canonicalize_name(each["name"]) for each in bill["components"]} - known)
    return f"not in requirements/latest.txt: {', '.join(foreign)}" if foreign else ""
