"""Cases that mostly wait: played side by side, and judged one by one.

A case may be played while the machine is busy, and judged when it is calm again. So each has a plain
sleep beside it, and a test that runs again plays its case anew, when nothing else runs.
"""

import inspect
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import Any, Generic, TypeVar

import pytest

from tests import stood_still
from tests.plain_sleep import PlainSleep

JOBS = 24

T = TypeVar("T")


def at_once(test: Callable[..., None]) -> Callable[..., None]:
    """Play all selected cases of a test in threads; each fails by itself.

    For tests whose other arguments are fixtures of a module or a session. Such a test must not
    depend on what the others do at the same time, and its bounds should be wide: this makes the
    machine as busy as it can be.
    """
    played: dict[str, tuple[Future[None], PlainSleep]] = {}
    judged: set[str] = set()

    @wraps(test)
    def run(request: pytest.FixtureRequest, **given: Any) -> None:
        node = request.node.nodeid
        if node in judged:
            test(**given)
            return
        judged.add(node)
        if node not in played:
            cases = [item for item in request.session.items if _is_case(item, request)]
            with PlainSleep() as sleep, ThreadPoolExecutor(JOBS) as pool:
                for item in cases:
                    arguments = {**given, **item.callspec.params}  # type: ignore[attr-defined]
                    played[item.nodeid] = pool.submit(test, **arguments), sleep
        future, beside = played[node]
        stood_still.also_beside(beside)
        future.result()

    own = inspect.signature(test)
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[first, *own.parameters.values()]
    )
    return run


def _is_case(item: pytest.Item, request: pytest.FixtureRequest) -> bool:
    """Return whether an item is a case of the test that runs."""
    name = getattr(item, "originalname", None)
    return item.path == request.path and name == request.node.originalname


class SideBySide(Generic[T]):
    """What is measured in the background, for tests that judge it by its name."""

    def __init__(self, measure: Callable[[str], T], names: Iterable[str], jobs: int) -> None:
        """Begin with all names, so many at a time."""
        self._measure = measure
        self._pool = ThreadPoolExecutor(jobs)
        self._found = {name: self._pool.submit(self._beside_a_sleep, name) for name in names}
        self._judged: set[tuple[str, str]] = set()

    def __getitem__(self, name: str) -> T:
        """Return what was measured; for a test that runs again, it is measured anew."""
        judged = (os.environ["PYTEST_CURRENT_TEST"], name)
        if judged in self._judged:
            self._found[name] = self._pool.submit(self._beside_a_sleep, name)
        self._judged.add(judged)
        found, sleep = self._found[name].result()
        stood_still.also_beside(sleep)
        return found

    def _beside_a_sleep(self, name: str) -> tuple[T, PlainSleep]:
        with PlainSleep() as sleep:
            return self._measure(name), sleep

    def close(self) -> None:
        """Wait for all that is still measured."""
        self._pool.shutdown()
