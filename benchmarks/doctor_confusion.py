"""The doctor's diagnoses of stacks whose fault is known.

`python benchmarks/doctor_confusion.py [--only TEXT]` prints the confusion table of docs/doctor.md,
the wrong diagnoses, and how long the first verdict took.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stream_lab.doctor import examine
from tests.stream_lab.doctor.stacks import STACKS


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--only", default="", help="stacks whose name contains this")
    given = options.parse_args()
    chosen = [stack for stack in STACKS if given.only in stack.name]
    found: Counter[tuple[str, str]] = Counter()
    wrong, right = [], 0
    for stack in chosen:
        with stack.made() as (target, direct):
            began = time.monotonic()
            diagnosis = examine(target, direct=direct, watch=stack.watch).diagnosis
        took = time.monotonic() - began
        found[stack.cause, diagnosis.cause] += 1
        good = diagnosis.cause is stack.cause and diagnosis.layer == stack.layer
        right += good
        where = f" ({diagnosis.layer})" if diagnosis.layer else ""
        mark = "✔" if good else "✘"
        print(
            f"{mark} {stack.name:40} {diagnosis.cause}{where} {diagnosis.confidence:.2f} "
            f"{took:.1f} s",
            file=sys.stderr,
            flush=True,
        )
        if not good:
            wrong.append(
                f"- {stack.name}: {stack.cause} {stack.layer}, found {diagnosis.cause} "
                f"{diagnosis.layer}: {diagnosis.evidence}"
            )
    print("| fault | diagnosis | stacks |\n|---|---|---|")
    for (fault, diagnosed), stacks in sorted(found.items()):
        print(f"| {fault} | {diagnosed} | {stacks} |")
    print(f"\n{right} of {len(chosen)} are right in cause and layer.", *wrong, sep="\n")
    sys.exit(0 if right == len(chosen) else 1)


if __name__ == "__main__":
    main()
