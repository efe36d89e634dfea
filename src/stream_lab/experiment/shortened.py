"""Tracebacks and tasks as Python shows them, without paths, numbers and addresses."""

import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import extract_tb

DIRECT = "The above exception was the direct cause of the following exception:"
DURING = "During handling of the above exception, another exception occurred:"
HERE = "this notebook"
TASK = re.compile(r"<(?:\w+\.)?Task (\w+) name='.*?' coro=<(<.*?>|\S*?)\(\)")

PACKAGES = (
    *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")),
    Path(__file__).parents[2],
)


def traceback(error: BaseException) -> str:
    """Return an error's traceback with a line for each frame: its file and its function.

    The errors that led to it come first, as Python prints them.
    """
    return "\n".join(_lines(error))


def task(shown: str, name: str) -> str:
    """Return a task's repr under another name, without its result, paths and addresses.

    Args:
        shown: the repr, taken when it mattered; a task that ends has another one.
        name: the name to show; asyncio's own differs from run to run.
    """
    found = TASK.match(shown)
    state, coroutine = found.groups() if found else ("?", "…")
    return f"<Task {state} name={name!r} coro=<{coroutine}()> …>"


def _lines(error: BaseException) -> Iterator[str]:
    cause = error.__cause__
    before = cause or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _lines(before)
        yield from ("", DIRECT if cause else DURING, "")
    last = ""
    for frame in extract_tb(error.__traceback__):
        line = f"  {_file(frame.filename)}, in {frame.name}"
        if line != last:  # a frame calls itself, or is there once for each `await`
            yield line
        last = line
    text = str(error)
    yield f"{type(error).__name__}: {text}" if text else type(error).__name__


def _file(name: str) -> str:
    """Return a file's path inside the package that it belongs to."""
    path = Path(name)
    for folder in PACKAGES:
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return HERE if "ipykernel" in name or name.startswith("<") else path.name
