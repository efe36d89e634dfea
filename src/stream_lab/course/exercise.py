"""Exercises: what a checker is, and what it says about an answer."""

import asyncio
import inspect
import linecache
import math
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

LIMIT = 30.0
"""Seconds that an answer may run, unless its exercise says otherwise."""

PACKAGE = Path(__file__).parents[1]
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


class Wrong(Exception):
    """Raised by a checker for a wrong answer; the text names the mistake, if any."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: The notebook's number and its own, as "05.1".
        checker: Takes the answer and what the notebook passes on with it. It returns if the answer
            is right, and raises `Wrong` if it is not. It may be a coroutine function.
        hints: What is said after the first and after the second wrong answer.
        idea: What is said after every further one: the idea, and still not the code.
        limit: Seconds that an answer may run.
    """

    name: str
    checker: Callable[..., Any]
    hints: tuple[str, str]
    idea: str
    limit: float


@dataclass(frozen=True)
class Examined:
    """A checker's result.

    Attributes:
        given: Whether there was an answer.
        right: Whether it was right.
        message: What is wrong with it; empty if it is right, or wrong in a way of its own.
    """

    given: bool = True
    right: bool = False
    message: str = ""


_exercises: dict[str, Exercise] = {}


def exercise(
    name: str, *, hints: tuple[str, str], idea: str, limit: float = LIMIT
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the decorated function the checker of an exercise.

    Args:
        name: The notebook's number and the exercise's own, as "05.1".
        hints: What is said after the first and after the second wrong answer.
        idea: What is said after every further one.
        limit: Seconds that an answer may run.
    """

    def declare(checker: Callable[..., Any]) -> Callable[..., Any]:
        _exercises[name] = Exercise(name, checker, hints, idea, limit)
        return checker

    return declare


def find(notebook: str, number: str) -> Exercise:
    """Return an exercise.

    Args:
        notebook: The notebook's number, as "05".
        number: The exercise's number in it, as "1".

    Raises:
        LookupError: There is no such exercise.
    """
    name = f"{notebook}.{number}"
    if name not in _exercises:
        import_module(f"stream_lab.course.exercises.notebook_{notebook}")
    if name not in _exercises:
        raise LookupError(f"there is no exercise {name}")
    return _exercises[name]


def equals(
    answer: object,
    expected: object,
    *,
    tolerance: float | None = None,
    mistakes: Iterable[tuple[object, str]] = (),
) -> None:
    """Accept an answer that is the expected value.

    Args:
        answer: The reader's answer.
        expected: The right answer, computed from the run.
        tolerance: How far a number may be from the expected one. None: five per cent, for floats.
        mistakes: Wrong answers that are likely, each with what is said about it.

    Raises:
        Wrong: The answer is another one.
    """
    if inspect.iscoroutine(answer):
        answer.close()
        raise Wrong("That is a coroutine: put `await` before the call.")
    if callable(answer) and not callable(expected):
        raise Wrong("That is a function; call it, and answer with what it returns.")
    if _same(answer, expected, tolerance):
        return
    for value, message in mistakes:
        if _same(answer, value, tolerance):
            raise Wrong(message)
    number = isinstance(expected, (int, float)) and not isinstance(expected, bool)
    if number and isinstance(answer, str):
        raise Wrong("That is a string; the answer is a number, without quotes.")
    if isinstance(expected, str) and not isinstance(answer, str):
        raise Wrong(f"The answer is a string, and that is of type {type(answer).__name__}.")
    raise Wrong


async def examine(exercise: Exercise, answer: object, context: tuple[Any, ...]) -> Examined:
    """Check an answer; whatever its code raises becomes a sentence.

    Args:
        exercise: The exercise.
        answer: The reader's answer. None, … or code that raises NotImplementedError: there is none.
        context: What the notebook passes on to the checker.
    """
    if answer is None or answer is ...:
        return Examined(given=False)

    async def run() -> None:
        result = exercise.checker(answer, *context)
        if inspect.isawaitable(result):
            await result

    # A task of its own, so that a cancellation which the answer sets off stays in it.
    task = asyncio.create_task(run())
    await asyncio.wait({task}, timeout=exercise.limit)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        return Examined(message=f"Your code had not ended after {exercise.limit:g} seconds.")
    if task.cancelled():
        return Examined(message="Your code ended with CancelledError: something cancelled it.")
    error = task.exception()
    if error is None:
        return Examined(right=True)
    if isinstance(error, NotImplementedError):
        return Examined(given=False)
    if isinstance(error, Wrong):
        return Examined(message=str(error))
    if not isinstance(error, Exception):
        raise error
    return Examined(message=_raised(error))


def fingerprint(answer: object) -> str:
    """Return what tells one answer from another: its source, or its value."""
    try:
        return inspect.getsource(answer)  # type: ignore[arg-type]
    except (TypeError, OSError):
        return repr(answer)


def _same(answer: object, expected: object, tolerance: float | None) -> bool:
    if isinstance(answer, bool) is not isinstance(expected, bool):
        return False
    if isinstance(answer, str) is not isinstance(expected, str):
        return False
    try:
        if isinstance(expected, float) or tolerance is not None:
            close = {"rel_tol": 0.05} if tolerance is None else {"abs_tol": tolerance}
            return math.isclose(float(answer), float(expected), **close)  # type: ignore[arg-type]
        return bool(answer == expected)
    except (TypeError, ValueError):
        return False


def _raised(error: Exception) -> str:
    """Say what an answer raised, and in which of the reader's lines."""
    kind, text = type(error).__name__, " ".join(str(error).split())[:200]
    said = f"Your code raised {kind}: {text}." if text else f"Your code raised {kind}."
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((str(PACKAGE), *LIBRARIES))
    ]
    if not own:
        return said
    line = (linecache.getline(own[-1].filename, own[-1].lineno or 0)).strip()
    return f"{said} Line {own[-1].lineno} of the cell: `{line}`" if line else said
