"""The doctor's diagnoses of stacks and logs whose fault is known.

`python benchmarks/doctor_confusion.py [--set first|second] [--only TEXT]` prints the confusion
table of a set, the wrong diagnoses, and how long each took. docs/doctor.md has the first set;
docs/doctor_second_set.md has the second, which was written without a look at the doctor's rules.
"""

import argparse
import copy
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stream_lab.doctor import Cause, Diagnosis, examine
from stream_lab.doctor.logs import consider, lines_of
from tests.stream_lab.doctor import second_stacks, stacks
from tests.stream_lab.doctor.second_excerpts import Excerpt, excerpts

STREAMS = {"healthy": "finite", "close": "close", "reset": "reset"}
"""What an excerpt says of the examined stream, and the fake's scenario that does it."""


@dataclass(frozen=True)
class Result:
    """A diagnosis beside its label.

    Attributes:
        kind: "stack" or "log".
        name: the stack, or the excerpt.
        expected: the causes that are right, the best one first.
        layer: the right layer. Empty: only one was examined.
        found: the diagnosis. None: the doctor raised `error`.
        seconds: how long the diagnosis took.
        error: the type and the text of the exception. Empty: none was raised.
        without: the cause that the stream shows without the log. None: there is no log.
    """

    kind: str
    name: str
    expected: tuple[Cause, ...]
    layer: str
    found: Diagnosis | None
    seconds: float
    error: str = ""
    without: Cause | None = None

    @property
    def right(self) -> bool:
        """Whether cause and layer are right."""
        found = self.found
        return found is not None and found.cause in self.expected and found.layer == self.layer

    @property
    def label(self) -> str:
        """The row of the table: the accepted cause that was found, or the first accepted."""
        if self.found is not None and self.found.cause in self.expected:
            return self.found.cause
        return self.expected[0]

    @property
    def said(self) -> str:
        """The diagnosis in a few words."""
        if self.found is None:
            return self.error
        where = f" ({self.found.layer})" if self.found.layer else ""
        return f"{self.found.cause}{where}"


def of_stacks(chosen: list[stacks.Stack]) -> Iterator[Result]:
    """Examine stacks one after the other."""
    for stack in chosen:
        also = stack.also if isinstance(stack, second_stacks.SecondStack) else ()
        found, error = None, ""
        with stack.made() as (target, direct):
            began = time.monotonic()
            try:
                found = examine(target, direct=direct, watch=stack.watch).diagnosis
            except Exception as raised:  # one stack must not end the table
                error = f"{type(raised).__name__}: {raised}"
        took = time.monotonic() - began
        yield Result("stack", stack.name, (stack.cause, *also), stack.layer, found, took, error)


def of_logs(chosen: list[Excerpt]) -> Iterator[Result]:
    """Examine one stream of each kind, and read the excerpts of that kind beside it."""
    for stream, scenario in STREAMS.items():
        beside = [excerpt for excerpt in chosen if excerpt.stream == stream]
        if not beside:
            continue
        with stacks.fake(scenario)() as (target, _):
            since = datetime.now()
            examined = examine(target, watch=5.0).diagnosis
            until = datetime.now()
        middle = since + (until - since) / 2
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "excerpt.log"
            for excerpt in beside:
                log.write_text(excerpt.at(middle.astimezone()), encoding="utf-8")
                began = time.monotonic()
                found, error = None, ""
                try:
                    found = consider(
                        copy.deepcopy(examined),
                        lines_of([log]),
                        since=since,
                        until=until,
                        targets=[target],
                    )
                except Exception as raised:  # one excerpt must not end the table
                    error = f"{type(raised).__name__}: {raised}"
                took = time.monotonic() - began
                yield Result(
                    "log", excerpt.name, excerpt.expected, "", found, took, error, examined.cause
                )


def table(results: list[Result]) -> str:
    """Return the confusion table as Markdown."""
    found = Counter((result.label, result.said) for result in results)
    rows = [f"| {label} | {said} | {count} |" for (label, said), count in sorted(found.items())]
    return "\n".join(["| fault | diagnosis | number |", "|---|---|---|", *rows])


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--only", default="", help="stacks and logs whose name contains this")
    options.add_argument("--set", default="first", choices=["first", "second"])
    given = options.parse_args()
    second = given.set == "second"
    every = second_stacks.STACKS if second else stacks.STACKS
    chosen = [stack for stack in every if given.only in stack.name]
    logs = [each for each in excerpts() if given.only in each.name] if second else []
    results = []
    for result in chain(of_logs(logs), of_stacks(chosen)):
        results.append(result)
        confidence = f"{result.found.confidence:.2f} " if result.found else ""
        print(
            f"{'✔' if result.right else '✘'} {result.kind:5} {result.name:60} {result.said} "
            f"{confidence}{result.seconds:.1f} s",
            file=sys.stderr,
            flush=True,
        )
    wrong = [result for result in results if not result.right]
    for kind in ("stack", "log"):
        of_kind = [result for result in results if result.kind == kind]
        if not of_kind:
            continue
        print(table(of_kind))
        right = sum(result.right for result in of_kind)
        print(f"\n{right} of {len(of_kind)} {kind}s are right in cause and layer.\n")
        if kind == "log":
            alone = sum(result.without in result.expected for result in of_kind)
            print(f"Without its log, {alone} of the streams would be right.\n")
    for result in wrong:
        expected = " or ".join(result.expected)
        evidence = "" if result.found is None else f": {result.found.evidence}"
        print(f"- {result.name}: {expected} {result.layer}, found {result.said}{evidence}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
