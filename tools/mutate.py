"""Change the sources one place at a time, and see whether a test turns red.

`make mutants` draws a sample. `ONLY=_budget,slots` names modules, `SAMPLE=all` takes every mutant,
`SEED=2` draws others, and `ARGS=--again` repeats the survivors. `make coverage` notes which tests
run a line. Results are kept in .measured/mutants, so a run goes on where the one before it ended.
"""

import argparse
import json
import os
import random
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml
from broken_copy import NO_VERDICT_STATUS, ROOT, BrokenCopy, Run
from coverage import CoverageData
from mutants import Mutant, mutants

MEASURED = ROOT / ".measured"
EXPLAINED = ROOT / "tests" / "mutants.yaml"
ENOUGH = 0.9
MOST_SECONDS = 60.0
"""Measured seconds of the tests that a mutant has to survive; the quickest come first."""
MOST_HEALTHY = 1800.0
"""Seconds for all tests together on the unchanged copy, which come first."""
OWN = 0.2
"""A module's own tests come as early as tests that take a fifth of their time."""
SLOWER, AT_LEAST = 4.0, 30.0
"""A mutant may take this many times as long as its tests, and these seconds more."""
LEFT_OUT_WORDS = 600
"""The most characters that are shown of why a test was red without a mutant."""
GONE = ("killed", "time-out", "explained")


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Attributes:
        name: of the mutant.
        line: where it was.
        outcome: "killed", "time-out", "survived", "uncovered" if no test runs its line, or "no
            verdict" if the machine was too busy to tell.
        by: the test that was red. None: none was.
        tests: how many tests were to run.
        seconds: how long they ran.
    """

    name: str
    line: int
    outcome: str
    by: str | None
    tests: int
    seconds: float


class Module:
    """A module, its mutants, and the tests that run its lines."""

    def __init__(self, path: Path, measured: "Measured") -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.mutants = mutants(path)
        self.explained = explained().get(self.name, {})
        self._measured = measured
        self._tests = measured.tests_by_line(path)
        self._kept = MEASURED / "mutants" / f"{path.parent.name}.{path.stem}.jsonl"
        self.results = self._read()

    def _read(self) -> dict[str, Result]:
        there = {each.name for each in self.mutants}
        lines = self._kept.read_text(encoding="utf-8").splitlines() if self._kept.exists() else []
        results = [Result(**json.loads(line)) for line in lines]
        return {each.name: each for each in results if each.name in there}

    def note(self, result: Result) -> None:
        """Keep a result, so that a later run need not find it again."""
        self.results[result.name] = result
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        with self._kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return the tests that run its line, the most telling first, within `MOST_SECONDS`."""
        tests = self._tests.get(mutant.line) or set()
        if not mutant.where or not tests:  # it runs when the module is imported
            tests = set().union(*self._tests.values()) if self._tests else set()
        seconds = self._measured.seconds

        def rank(test: str) -> float:
            takes = seconds.get(test, 1.0)
            return takes * OWN if self._is_own(test) else takes

        chosen: list[str] = []
        total = 0.0
        for test in sorted(tests, key=lambda each: (rank(each), each)):
            total += seconds.get(test, 1.0)
            if chosen and total > MOST_SECONDS:
                break
            chosen.append(test)
        return chosen

    def _is_own(self, test: str) -> bool:
        file = Path(test.partition("::")[0])
        if file.parent.name == self.path.parent.name == "engine":
            return True
        return file.stem.startswith(f"test_{self.path.stem.lstrip('_')}")

    def outcome(self, mutant: Mutant) -> str | None:
        """Return what became of a mutant; None: it has not been tried."""
        result = self.results.get(mutant.name)
        if result is None or result.outcome == "no verdict":
            return None
        is_alive = result.outcome not in GONE
        return "explained" if is_alive and mutant.name in self.explained else result.outcome


class Measured:
    """What `make coverage` has left.

    Attributes:
        seconds: how long each test takes, all its cases together.
    """

    def __init__(self) -> None:
        files = sorted(MEASURED.glob("coverage*"))
        if not files:
            sys.exit("There are no contexts of the tests; run `make coverage` first.")
        self._data = CoverageData(str(MEASURED / "coverage"))
        self._data.read()
        self.seconds: dict[str, float] = defaultdict(float)
        for file in (MEASURED / "seconds").glob("*.jsonl"):
            for line in file.read_text(encoding="utf-8").splitlines():
                test, seconds = json.loads(line)
                self.seconds[test] += seconds
        self._by_file: dict[str, set[str]] = defaultdict(set)
        for test in self.seconds:
            self._by_file[test.partition("::")[0]].add(test)

    def tests_by_line(self, path: Path) -> dict[int, set[str]]:
        """Return the tests that run each line of a module."""
        contexts = self._data.contexts_by_lineno(str(path))
        return {line: set(self._tests(each)) - {""} for line, each in contexts.items()}

    def _tests(self, contexts: Iterable[str]) -> Iterator[str]:
        for context in contexts:
            for test in context.split("|"):
                if test.endswith(")"):
                    # A process that a test has started, often for all tests of its file.
                    yield from self._by_file.get(test.partition("::")[0], ())
                else:
                    yield test.partition("[")[0]


def explained() -> dict[str, dict[str, str]]:
    """Return by module and mutant why no test can tell it from the original."""
    loaded: dict[str, dict[str, str]] = yaml.safe_load(EXPLAINED.read_text(encoding="utf-8")) or {}
    return loaded


def modules(only: str | None) -> list[Path]:
    """Return the modules that are measured, or those of a list of names."""
    folders = (ROOT / "src" / "stream_deadline", ROOT / "fake_vllm" / "engine")
    paths = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    if only is None:
        return paths
    names = only.replace(",", " ").split()
    if unknown := set(names) - {path.stem for path in paths}:
        sys.exit(f"There is no module {', '.join(sorted(unknown))} among those that are measured.")
    return [path for name in names for path in paths if path.stem == name]


def result_of(mutant: Mutant, tests: list[str], run: Run) -> Result:
    """Judge a run of tests on a mutant."""
    if run.failures:
        outcome, by = "killed", run.failures[0].test
    elif run.status == NO_VERDICT_STATUS:
        outcome, by = "no verdict", None
    elif run.status is None or not run.is_green:
        outcome, by = "time-out" if run.status is None else "killed", None
    else:
        outcome, by = "survived", None
    seconds = round(run.seconds, 1)
    return Result(mutant.name, mutant.line, outcome, by, len(tests), seconds)


def main() -> None:
    """Try the mutants that have not been tried, and print what became of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of modules, such as _budget,slots")
    parser.add_argument("--sample", default="150", help="how many to draw, or `all`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="try the survivors once more")
    given = parser.parse_args()
    measured = Measured()
    measuring = [Module(path, measured) for path in modules(given.only or None)]
    drawn = [(module, mutant) for module in measuring for mutant in module.mutants]
    if given.sample != "all" and int(given.sample) < len(drawn):
        places = {id(each[1]): place for place, each in enumerate(drawn)}
        drawn = random.Random(given.seed).sample(drawn, int(given.sample))
        drawn.sort(key=lambda each: places[id(each[1])])
    waiting = [
        each for each in drawn if (now := each[0].outcome(each[1])) is None or is_again(given, now)
    ]
    os.nice(10)
    with BrokenCopy() as copy:
        tests = {test for module, mutant in waiting for test in module.tests_for(mutant)}
        unsteady = red_without_a_mutant(copy, sorted(tests)) if tests else set()
        for number, (module, mutant) in enumerate(waiting, 1):
            result = tried(copy, module, mutant, unsteady)
            module.note(result)
            line = f"{number}/{len(waiting)} {result.outcome:9} {result.seconds:5.1f} s"
            print(f"{line}  {module.name}:{mutant.line} {mutant.name}", flush=True)
    sys.exit(0 if report(drawn) >= ENOUGH else 1)


def is_again(given: argparse.Namespace, outcome: str) -> bool:
    """Return whether a mutant that has been tried is to be tried once more."""
    return bool(given.again) and outcome not in GONE


def red_without_a_mutant(copy: BrokenCopy, tests: list[str]) -> set[str]:
    """Return the tests that are red among others, but green alone: they judge no mutant.

    Raises:
        SystemExit: one is red alone as well.
    """
    healthy = copy.run(tests, limit=MOST_HEALTHY, all_of_them=True)
    red = {failure.test: failure.text for failure in healthy.failures}
    if not healthy.is_green and (healthy.status is None or not red):
        sys.exit("Without a mutant the tests ran out of time, or did not run.")
    for test, text in sorted(red.items()):
        if not copy.run([test], limit=MOST_HEALTHY).is_green:
            sys.exit(f"Without a mutant the tests are not green: {test}")
        print(f"left out, since it was red without a mutant: {test}", flush=True)
        print(textwrap.indent(text[-LEFT_OUT_WORDS:], "    "), flush=True)
    return set(red)


def tried(copy: BrokenCopy, module: Module, mutant: Mutant, unsteady: set[str]) -> Result:
    """Run the tests of a mutant."""
    tests = [test for test in module.tests_for(mutant) if test not in unsteady]
    if not tests:
        return Result(mutant.name, mutant.line, "uncovered", None, 0, 0.0)
    takes = sum(module._measured.seconds.get(test, 1.0) for test in tests)
    limit = takes * SLOWER + AT_LEAST
    with copy.changed(module.name, mutant.text):
        run = copy.run(tests, limit=limit)
    result = result_of(mutant, tests, run)
    # A red test, or none that ends, tells of the mutant only if it is green without.
    judge = [result.by] if result.by and "::" in result.by else tests
    if result.outcome in ("killed", "time-out") and not copy.run(judge, limit=limit).is_green:
        result = replace(result, outcome="no verdict", by=None)
    return result


def report(drawn: list[tuple[Module, Mutant]]) -> float:
    """Print a table by module, and the survivors; return the share that is gone."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    alive = []
    for module, mutant in drawn:
        outcome = module.outcome(mutant) or "not tried"
        counts[module.name][outcome] += 1
        if outcome not in GONE:
            alive.append(f"{outcome:9}  {module.name}:{mutant.line}  {mutant.name}")
    print("\n".join(["", *alive, ""]))
    total: Counter[str] = Counter()
    for name, each in [*counts.items(), ("together", total)]:
        if name != "together":
            total.update(each)
        tried_of = each.total() - each["not tried"]
        gone = sum(each[outcome] for outcome in GONE)
        words = ", ".join(f"{number} {outcome}" for outcome, number in each.most_common())
        print(f"{name:45} {gone}/{tried_of}  {gone / max(1, tried_of):4.0%}  ({words})")
    return sum(total[outcome] for outcome in GONE) / max(1, total.total() - total["not tried"])


if __name__ == "__main__":
    main()
