"""Look up the pins in requirements/ in a copy of the PyPA's advisory database.

    .venv/bin/python tools/audit.py ../advisory-database

It writes requirements/audit.json and prints each finding. The status is 1 if SECURITY.md does not
explain one of them. `make audit DATABASE=…` calls it.
"""

import sys
from pathlib import Path

from release.advisories import audit, record, unexplained


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(
            "audit: name a checkout of the PyPA's advisory-database: make audit DATABASE=folder.",
            file=sys.stderr,
        )
        return 2
    database = Path(arguments[0])
    try:
        findings = audit(database)
    except FileNotFoundError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    record(database, findings)
    for each in findings:
        print(each.sentence)
    bad = unexplained(findings)
    print(f"{len(findings)} findings, {len(bad)} of them not explained in SECURITY.md")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
