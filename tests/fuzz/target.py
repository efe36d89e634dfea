"""A fuzz target, and how one is run."""

import re
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

T = TypeVar("T")
ROOM = 1_500_000_000
"""Bytes that a run may map beyond what the process has mapped; a thread maps a hundred million."""
CPU_SECONDS = 10.0
"""What one example may compute; the time of the processor, which a busy machine does not stretch."""
GENERATED = (Phase.reuse, Phase.generate, Phase.target, Phase.shrink)


@dataclass(frozen=True)
class Target(Generic[T]):
    """One thing that is fuzzed.

    Attributes:
        name: the words after "it is fuzzed: ".
        drawn: the values that are tried.
        check: asserts what must hold; gets the subject and a value.
        plant: breaks the subject, so that `check` must fail for some value.
        subject: sets up what is fuzzed once for all values, such as a server.
        rows: values that once failed, by what was wrong.
        examples: how many values `make test` tries.
        to_plant: how many values find the planted defect, at most. Hypothesis draws constants of the
            modules that are loaded too, so a defect is found sooner or later in other runs.
        guided: packages whose coverage guides Atheris. Empty: the target is not run by it.
        shows: what it fails with when the defect is planted; another error is of something else.
        tried: how many values were tried so far, as the only item.
    """

    name: str
    drawn: st.SearchStrategy[T]
    check: Callable[[Any, T], None]
    plant: Callable[[pytest.MonkeyPatch], None]
    subject: Callable[[], AbstractContextManager[Any]] = nullcontext
    rows: Mapping[str, T] = field(default_factory=dict)
    examples: int = 60
    to_plant: int = 3000
    guided: tuple[str, ...] = ()
    shows: type[Exception] = AssertionError
    tried: list[int] = field(default_factory=lambda: [0], compare=False)

    @property
    def slug(self) -> str:
        """The name, as a folder is called."""
        return re.sub(r"\W+", "-", self.name)

    def test(self, subject: Any) -> Any:
        """Return the property as a test of Hypothesis, without settings."""

        def holds(value: T) -> None:
            self.tried[0] += 1
            with within_cpu_seconds(CPU_SECONDS):
                self.check(subject, value)

        return hypothesis.given(self.drawn)(holds)

    def run(
        self,
        examples: int,
        *,
        seed: int | None = None,
        kept: Path | None = None,
        shrink: bool = True,
    ) -> None:
        """Try values; raise what the first that does not hold raises.

        Args:
            examples: how many values.
            seed: where they come from. None: the same values each time.
            kept: a folder for values that failed, which are tried first. None: none is kept.
            shrink: whether to look for the smallest value that fails.
        """
        with self.subject() as subject, little_memory():
            test = self.test(subject)
            if seed is not None:
                test = hypothesis.seed(seed)(test)
            phases = [each for each in GENERATED if shrink or each is not Phase.shrink]
            _settings(examples, kept, phases, derandomize=seed is None)(test)()

    def run_row(self, name: str) -> None:
        """Try the value of one row."""
        with self.subject() as subject, little_memory():
            test = hypothesis.example(self.rows[name])(self.test(subject))
            _settings(1, None, [Phase.explicit], derandomize=True)(test)()


def _settings(
    examples: int, kept: Path | None, phases: list[Phase], *, derandomize: bool
) -> settings:
    database: ExampleDatabase | None = None if kept is None else DirectoryBasedExampleDatabase(kept)
    return settings(
        max_examples=examples,
        database=database,
        phases=phases,
        derandomize=derandomize,
        deadline=None,
        print_blob=False,
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def within_cpu_seconds(most: float) -> Iterator[None]:
    """Fail what computes longer than N seconds, in the main thread."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"it computed for more than {most:g} s")

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def little_memory(room: int = ROOM) -> Iterator[None]:
    """Let the process map only a little more, so that what grows without bound fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
