"""The exercises of notebook 12: a coroutine from synchronous code, and which time-out fires."""

import asyncio
import inspect
import json
import linecache
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from stream_lab.course.exercise import Wrong, exercise

TRIAL = Path(__file__).with_name("notebook_12_trial.py")
HANGS_AFTER = 8.0  # seconds; the whole trial takes half of one
PRELUDE = (
    "from __future__ import annotations\n"
    "import asyncio, concurrent.futures, contextvars, functools, queue, sys, threading, time\n"
    "from concurrent.futures import ThreadPoolExecutor\n"
    "from contextvars import copy_context\n"
    "from threading import Thread\n"
)
EXPECTED = {
    "result": "3",
    "error": "LookupError: from the coroutine",
    "timeout": "TimeoutError: ",
    "context": "'45 s'",
}


@exercise(
    "12.1",
    hints=(
        "Where a loop is running, the coroutine needs another thread, and the caller waits for it.",
        "contextvars.copy_context().run(function, …) runs a function in a copy of the context.",
    ),
    idea="One new thread in all cases; in it, copy_context().run(asyncio.run, coroutine), with the "
    "copy made by the caller; return, or raise, what comes of it.",
)
async def run_sync(answer: Any) -> None:
    """Try the function in a fresh process, outside and inside a running loop."""
    if not callable(answer):
        raise Wrong("Answer with the function itself, without calling it.")
    if inspect.iscoroutinefunction(answer):
        raise Wrong("`run_sync` must be a plain function: its callers cannot write `await`.")
    code = _source(answer)
    if "NotImplementedError" in code:
        raise NotImplementedError
    _judge(await asyncio.to_thread(_try, code))


def _judge(findings: Mapping[str, str]) -> None:
    for stage, found in findings.items():
        if stage == "cell":
            raise Wrong(f"In a fresh process the cell raises {found}. Import what it needs in it.")
        where, _, what = stage.partition(", ")
        if found == EXPECTED.get(what) or (stage == "nested" and found == "no"):
            continue
        raise Wrong(_mistake(where, what, found))
    if "nested" not in findings:
        raise Wrong("The trial ended in the middle: the code ended its process.")


def _mistake(where: str, what: str, found: str) -> str:
    place = "In a running loop" if where == "inside" else "Where no loop runs"
    if where == "nested":
        return "It applies nest-asyncio. The exercise is to do without."
    if found == "hangs":
        return (
            f"{place} it hangs. The caller blocks its loop while it waits, so that loop cannot run "
            "the coroutine: it needs another loop, in another thread."
        )
    if "running event loop" in found and "no " not in found:
        return f"{place} it raises {found}: give the run a thread of its own."
    if "already running" in found:
        return f"{place} it raises {found}: a loop cannot be run twice. Use another thread."
    if "no running event loop" in found or "no current event loop" in found:
        return f"{place} it raises {found}. It must work in a script, too."
    if found in ("a coroutine", "a task"):
        return f"{place} it returns {found}, and not the coroutine's result."
    if found.endswith("after the work"):
        return f"{place} a time-out of 0.1 s inside the coroutine did not hold: {found}."
    if what == "context":
        return (
            f"{place} the coroutine does not see the caller's context variables, so a deadline "
            "around the call is lost. Copy the context before the thread starts."
        )
    if what in ("error", "timeout") and found == "None":
        return f"{place} the coroutine's error is lost: it must come out of run_sync."
    if found == "None":
        return f"{place} it returns None, and not the coroutine's result."
    return f"{place} it gives {found} instead of {EXPECTED.get(what, 'nothing').strip(': ')}."


def _try(code: str) -> dict[str, str]:
    """Run the trial, and return its findings by stage, in order."""
    process = subprocess.Popen(
        [sys.executable, "-I", str(TRIAL)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        said, _ = process.communicate(code, timeout=HANGS_AFTER)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    findings: dict[str, str] = {}
    for line in said.splitlines():
        if line.startswith('{"stage"'):
            finding = json.loads(line)
            findings[finding["stage"]] = finding["found"]
    return findings


def _source(function: Callable[..., Any]) -> str:
    """Return the code of a function's cell, with imports from other cells."""
    function = inspect.unwrap(function)
    file = function.__code__.co_filename if inspect.isfunction(function) else ""
    try:
        code = (
            textwrap.dedent(inspect.getsource(function))
            if Path(file).exists()
            else "".join(linecache.getlines(file))
        )
    except (OSError, TypeError):
        code = ""
    name = getattr(function, "__name__", "")
    if not code or name == "<lambda>" or not inspect.isfunction(function):
        raise Wrong("Write the function with `def run_sync(coroutine):` in the cell above.")
    alias = "" if name == "run_sync" else f"\nrun_sync = {name}\n"
    return "".join([PRELUDE, *_imports(function, code), code, alias])


def _imports(function: Any, code: str) -> Iterator[str]:
    """Yield imports of the names that the code uses and that another cell has imported."""
    try:
        used = _names(compile(code, "<cell>", "exec"))
    except SyntaxError:  # such as an `await` of the cell itself, which the trial reports
        used = _names(function.__code__)
    for name in sorted(used):
        value = function.__globals__.get(name)
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        if not isinstance(home, str) or home.partition(".")[0] not in sys.stdlib_module_names:
            continue
        if isinstance(value, ModuleType):
            yield f"{name} = __import__('importlib').import_module({home!r})\n"
        else:
            yield f"from {home} import {getattr(value, '__name__', name)} as {name}\n"


def _names(code: CodeType) -> set[str]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*(_names(each) for each in inner))


OUTER, INNER = "outer", "inner"
WORK = 0.5  # seconds

Case = Callable[[Callable[[float], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]


@exercise(
    "12.2",
    hints=(
        "In a task, and across a thread, the shorter time-out comes first.",
        "In c the outer timer fires first. Which task does it cancel, and where is that task?",
    ),
    idea="A cancellation is delivered at an `await`. In c the outer task is on the stack below the "
    "inner run, which raises its own TimeoutError first.",
)
async def which_fires(answer: Any, cases: Mapping[str, Case]) -> None:
    """Run each case, and compare the scope that its error came from with the answer."""
    if not isinstance(answer, dict) or set(answer) != set(cases):
        raise Wrong(f"The answer is a dict with the keys {', '.join(cases)}.")
    if all(choice is ... or choice is None for choice in answer.values()):
        raise NotImplementedError
    for name, case in cases.items():
        choice = answer[name]
        if choice is ... or choice is None:
            raise Wrong(f"{name} has no answer yet.")
        if choice not in (OUTER, INNER):
            raise Wrong(f'{name}: the answer is "outer" or "inner", not {choice!r}.')
        happened = await _fired(case)
        if choice != happened:
            raise Wrong(_why(name, happened))


def _why(name: str, happened: str) -> str:
    if name == "c":
        return (
            "c: the outer timer does fire first. But its task is below the inner run on the stack, "
            "and cannot take the cancellation."
        )
    if happened == OUTER:
        return f"{name}: both scopes can act at the same `await`, and the outer one is due earlier."
    return f"{name}: the inner scope is due earlier, and a thread's loop has timers of its own."


async def _fired(case: Case) -> str:
    """Return which scope the error of a case came from."""
    inner_fired: list[bool] = []
    found: list[str] = []

    async def inner(seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(WORK)
        except TimeoutError:
            inner_fired.append(True)
            raise

    async def run() -> None:
        try:
            await case(inner)
        except TimeoutError:
            found.append(INNER if inner_fired else OUTER)

    # A task of its own: a cancellation may be left over in it.
    await asyncio.wait({asyncio.create_task(run())})
    return found[0] if found else "neither"
