"""The rows of a release check, as a table and as JSON."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

OK, FAILED, NOT_HERE = "ok", "FAILED", "not here"


@dataclass
class Check:
    """One row.

    Attributes:
        step: the step that made it, as `--only` names it.
        subject: what was checked.
        result: OK, FAILED, or NOT_HERE if this machine lacks what it needs.
        text: the figures, or the reason.
        seconds: how long it took.
    """

    step: str
    subject: str
    result: str = OK
    text: str = ""
    seconds: float = 0.0

    def fail(self, text: str) -> None:
        self.result, self.text = FAILED, text


@contextmanager
def checked(step: str, subject: str) -> Iterator[Check]:
    """Time a check, and print its row when it ends."""
    check = Check(step, subject)
    began = time.monotonic()
    try:
        yield check
    finally:
        check.seconds = round(time.monotonic() - began, 1)
        print(line(check), file=sys.stderr, flush=True)


def line(check: Check) -> str:
    """Return the row as a line of the table."""
    took = f"{check.seconds:7.1f} s"
    return f"{check.step:7} {check.subject:36} {check.result:9} {took}  {check.text}".rstrip()


def document(checks: Iterable[Check]) -> str:
    """Return the rows as JSON."""
    return json.dumps([asdict(each) for each in checks], indent=1)


def summary(checks: Iterable[Check]) -> str:
    """Return how many rows have each result."""
    counted = Counter(each.result for each in checks)
    return ", ".join(f"{count} {result}" for result, count in counted.items())


def status(checks: Iterable[Check], *, require_all: bool) -> int:
    """Return the exit status.

    Args:
        checks: the rows.
        require_all: whether a row that could not be checked here is a failure.
    """
    bad = {FAILED, NOT_HERE} if require_all else {FAILED}
    return int(any(each.result in bad for each in checks))
