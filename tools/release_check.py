"""Check what would be released; `make release-check` calls it after `make packages`.

    .venv/bin/python tools/release_check.py [--json] [--only build,tests] [--pythons "3.12 3.13"]

Each row is ok, FAILED, or "not here" if this machine lacks what it needs. The status is 1 after a
failure, and with REQUIRE_ALL=1 also after a row that is "not here".
"""

import argparse
import datetime
import os
import sys
from collections.abc import Callable

from release import pythons
from release.advisories import recorded
from release.bill_of_materials import bills_of_materials
from release.changelog import check_version
from release.checks import Check, document, status, summary
from release.distributions import ROOT
from release.install_matrix import install_matrix
from release.rebuild import rebuild

DIST = ROOT / "dist"
OUT = ROOT / "runs" / "release-check"


def main() -> int:
    parser = argparse.ArgumentParser(description="Check what would be released.")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--only", help="steps, separated by commas")
    parser.add_argument("--pythons", help="versions, separated by spaces")
    given = parser.parse_args()
    versions = (given.pythons or "").split() or pythons.supported()
    steps: dict[str, Callable[[], list[Check]]] = {
        "version": lambda: check_version(os.environ.get("RELEASE_TAG")),
        "build": lambda: rebuild(DIST),
        "sbom": lambda: bills_of_materials(DIST, OUT / "sbom"),
        "audit": lambda: recorded(datetime.date.today()),
        "tests": lambda: install_matrix(DIST, OUT / "logs", versions),
    }
    wanted = (given.only or ",".join(steps)).split(",")
    if unknown := set(wanted) - set(steps):
        parser.error(f"there is no step {min(unknown)!r}; there are: {', '.join(steps)}")
    OUT.mkdir(parents=True, exist_ok=True)
    checks = [check for name in steps if name in wanted for check in steps[name]()]
    (OUT / "results.json").write_text(document(checks) + "\n", encoding="utf-8")
    print(document(checks) if given.json else summary(checks))
    return status(checks, require_all=os.environ.get("REQUIRE_ALL") == "1")


if __name__ == "__main__":
    sys.exit(main())
