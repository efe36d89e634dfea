"""Tests whose cases mostly wait: played side by side, and judged one by one."""

import inspect
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import Any

import pytest

JOBS = 24


def at_once(test: Callable[..., None]) -> Callable[..., None]:
    """Play all selected cases of a test in threads; each fails by itself.

    For tests whose other arguments are fixtures of a module or a session. Such a test must not
    depend on what the others do at the same time, and its bounds should be wide: this makes the
    machine as busy as it can be.
    """
    played: dict[str, Future[None]] = {}

    @wraps(test)
    def run(request: pytest.FixtureRequest, **given: Any) -> None:
        if request.node.nodeid not in played:
            cases = [item for item in request.session.items if _is_case(item, request)]
            with ThreadPoolExecutor(JOBS) as pool:
                for item in cases:
                    arguments = {**given, **item.callspec.params}  # type: ignore[attr-defined]
                    played[item.nodeid] = pool.submit(test, **arguments)
        played[request.node.nodeid].result()

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
