"""A plugin of pytest: the fixture `model_class` is attempt 1, and then the fix.

    pytest -p stream_lab.course.pytest_attempts test_deadline.py

It also runs `async def` tests, and ends a test that takes too long.
"""

import asyncio
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from openai import DefaultAsyncHttpxClient

from stream_lab.course.own_tests import (
    ATTEMPT,
    FIX,
    LIMIT,
    LIMIT_VARIABLE,
    QUESTIONS,
    RESULTS_VARIABLE,
)
from stream_lab.experiment.story import ElapsedChatVllm, ScopedChatVllm

CLASSES = {ATTEMPT: ScopedChatVllm, FIX: ElapsedChatVllm}
SECONDS = float(os.environ.get(LIMIT_VARIABLE, LIMIT))  # for one test


class _Notes:
    """What the class under test did in one test."""

    def __init__(self, attempt: str) -> None:
        self.attempt = attempt
        self.tasks: set[Any] = set()
        self.streams = self.chunks = self.late = 0
        self.finished = self.hung = self.left = self.failed = self.asked_late = False
        self.broken = ""

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "tasks": len(self.tasks)}


_notes: _Notes | None = None
_results: list[dict[str, Any]] = []


@pytest.fixture(params=list(CLASSES))
def model_class(request: pytest.FixtureRequest) -> Any:
    """Return a chat model's class: attempt 1 of the incident, or the fix."""
    global _notes
    _notes = _Notes(request.param)
    return _noting(CLASSES[request.param], _notes)


class _Asked:
    """The fixture `fake_vllm`, which notes questions that come after the test left the stream."""

    def __init__(self, fake: Any) -> None:
        self._fake = fake

    def __getattr__(self, name: str) -> Any:
        # After a failed assertion the test is red already, and only cleans up.
        failed = isinstance(sys.exception(), AssertionError)
        if _notes is not None and name in QUESTIONS and not failed:
            _notes.asked_late |= _left(_notes)
        return getattr(self._fake, name)


def _left(notes: _Notes) -> bool:
    """Return whether the test has stopped reading a stream that goes on."""
    if notes.left or notes.failed or notes.finished:
        return notes.left
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    if not notes.tasks or any(task.get_loop() is not loop for task in notes.tasks):
        return False
    # A cancellation between two chunks reaches the model's generator only later, in a task that
    # closes it.
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return all(type(each.get_coro()).__name__ == "async_generator_athrow" for each in others)


@pytest.fixture
def fake_vllm(fake_vllm: Any) -> Any:
    """Return the fake, with notes of what the test asks it."""
    return _Asked(fake_vllm)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End a test that takes too long."""

    def too_long(_: int, __: FrameType | None) -> None:
        if _notes is not None:
            _notes.hung = True
        pytest.fail(f"the test had not ended after {SECONDS:g} seconds")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 1.0)  # again, if a clean-up hangs too
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep the result of each test with a class."""
    global _notes
    report: pytest.TestReport = yield  # type: ignore[assignment]
    failed_early = call.when == "setup" and report.failed
    if _notes is not None and (call.when == "call" or failed_early):
        error = call.excinfo
        said = " ".join(error.exconly().split())[:200] if error and not report.passed else ""
        _results.append(
            {**_notes.as_dict(), "test": item.name, "passed": report.passed, "said": said}
        )
        _notes = None
    return report  # type: ignore[return-value]


def pytest_sessionfinish() -> None:
    """Write the results where the exercise expects them."""
    if (file := os.environ.get(RESULTS_VARIABLE)) is not None:
        Path(file).write_text(json.dumps(_results), encoding="utf-8")


def _noting(model: type[Any], notes: _Notes) -> type[Any]:
    """Return a subclass that notes which tasks pull, and when chunks come."""

    async def _astream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        notes.streams += 1
        started = time.monotonic()
        chunks = model._astream(self, *args, **kwargs)
        try:
            async for chunk in chunks:
                notes.tasks.add(asyncio.current_task())
                notes.chunks += 1
                limit = self.stream_timeout
                # A fifth more, since the last chunk before the deadline may come through late.
                notes.late += limit is not None and time.monotonic() - started > 1.2 * limit
                yield chunk
            notes.finished = True
        except BaseException as error:
            # An expired scope makes a TimeoutError of the test's cancellation, which stays pending.
            task = asyncio.current_task()
            cancelled = task is not None and task.cancelling() > 0
            notes.left |= cancelled or isinstance(error, (asyncio.CancelledError, GeneratorExit))
            notes.failed = not notes.left
            if notes.failed and not isinstance(error, TimeoutError):
                notes.broken = type(error).__name__
            raise
        finally:
            await chunks.aclose()

    def __init__(self: Any, **kwargs: Any) -> None:
        # LangChain shares a client between models of the same address, and a pooled connection does
        # not work in the event loop of the next test.
        kwargs.setdefault("http_async_client", DefaultAsyncHttpxClient(trust_env=False))
        model.__init__(self, **kwargs)

    members = {"_astream": _astream, "__init__": __init__, "__doc__": model.__doc__}
    return type(model.__name__, (model,), members)
