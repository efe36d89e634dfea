"""Plant known defects into a copy of the project; each must turn its test red.

`make planted` takes the defects from tests/planted.yaml; `ONLY=slot` those with that word.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from broken_copy import NO_VERDICT_STATUS, ROOT, BrokenCopy, Failure, Run

DEFECTS = ROOT / "tests" / "planted.yaml"
LIMIT, EACH = 180.0, 20.0
"""Seconds for the test of one defect, all its cases together and one by one."""


@dataclass(frozen=True)
class Defect:
    """A change that makes the project wrong, and the test that must notice it.

    Attributes:
        name: what is wrong then.
        file: the file that is changed.
        old: the text that is replaced; it occurs once.
        new: the text in its place.
        test: the id of the test, without a case.
        says: a regular expression that the failure has: the right reason to be red.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
    says: str

    def text(self, folder: Path = ROOT) -> str:
        """Return the file with the defect.

        Raises:
            ValueError: the file has the old text never, or more than once.
        """
        before = (folder / self.file).read_text(encoding="utf-8")
        if (count := before.count(self.old)) != 1:
            raise ValueError(f"{self.name}: {self.file} has the old text {count} times, not once.")
        return before.replace(self.old, self.new)


def defects() -> list[Defect]:
    """Return all defects of the table."""
    return [Defect(**each) for each in yaml.safe_load(DEFECTS.read_text(encoding="utf-8"))]


def wrong(defect: Defect, run: Run) -> str | None:
    """Return why a run does not show that the defect is noticed; None: it does."""
    if run.status == NO_VERDICT_STATUS:
        return "the machine was too busy to tell; run it again when it does nothing else"
    if not run.failures:
        return "no test was red" if run.is_green else "the tests crashed, or ran out of time"
    failure: Failure = run.failures[0]
    if failure.when not in ("call", "teardown"):
        return f"it was red in its {failure.when}: {_last_line(failure)}"
    if not re.search(defect.says, failure.text):
        return f"it was red for another reason: {_last_line(failure)}"
    return None


def _last_line(failure: Failure) -> str:
    lines = [line for line in failure.text.splitlines() if line.startswith("E ")]
    return (lines or failure.text.splitlines() or ["no word"])[0].strip()


def main() -> None:
    """Try every defect, and print what its test said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of the names")
    given = parser.parse_args()
    chosen = [each for each in defects() if given.only in each.name]
    missed = 0
    with BrokenCopy() as copy:
        tests = list(dict.fromkeys(each.test for each in chosen))
        healthy = copy.run(tests, limit=LIMIT * 4, each=EACH, all_of_them=True)
        passed = {test.partition("[")[0] for test in healthy.passed}
        red = {failure.test.partition("[")[0]: failure for failure in healthy.failures}
        for defect in chosen:
            if (failure := red.get(defect.test)) is not None:
                why: str | None = f"it is red without the defect: {_last_line(failure)}"
            elif healthy.status == NO_VERDICT_STATUS and defect.test not in passed:
                why = "the machine was too busy to tell; run it again when it does nothing else"
            elif defect.test not in passed:
                why = "its test did not run without the defect"
            else:
                with copy.changed(defect.file, defect.text()):
                    run = copy.run([defect.test], limit=LIMIT, each=EACH)
                why = wrong(defect, run)
            missed += why is not None
            print(f"{'MISSED' if why else 'caught'}  {defect.name}", flush=True)
            if why:
                print(f"        {defect.test}: {why}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} planted defects turn their tests red.")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
