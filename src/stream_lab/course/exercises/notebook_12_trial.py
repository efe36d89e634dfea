"""Tries a reader's `run_sync` in a process of its own, which nothing has nested.

The code comes on standard input. Each line on standard output is a finding as JSON, so that the
last line shows where code hangs. It imports no package.
"""

import asyncio
import contextvars
import json
import sys
import time
from collections.abc import Callable
from typing import Any

TIMEOUT = 0.1  # seconds
WORK = 1.5  # seconds

deadline: contextvars.ContextVar[str] = contextvars.ContextVar("deadline", default="lost")


async def three() -> int:
    await asyncio.sleep(0.01)
    return 3


async def fails() -> None:
    await asyncio.sleep(0.01)
    raise LookupError("from the coroutine")


async def bounded() -> None:
    async with asyncio.timeout(TIMEOUT):
        await asyncio.sleep(WORK)


async def reads_context() -> str:
    await asyncio.sleep(0.01)
    return deadline.get()


def report(stage: str, found: str) -> None:
    print(json.dumps({"stage": stage, "found": found}), flush=True)


def attempt(call: Callable[[], Any]) -> str:
    started = time.monotonic()
    try:
        result = call()
        found = repr(result)
        if asyncio.iscoroutine(result):
            result.close()
            found = "a coroutine"
        elif isinstance(result, asyncio.Future):
            result.cancel()
            found = "a task"
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    return found if time.monotonic() - started < WORK else f"{found}, after the work"


def trials(run_sync: Callable[[Any], Any], where: str) -> None:
    for name, make in [("result", three), ("error", fails), ("timeout", bounded)]:
        report(f"{where}, {name}", "hangs")
        report(f"{where}, {name}", attempt(lambda make=make: run_sync(make())))  # type: ignore[misc]
    token = deadline.set("45 s")
    report(f"{where}, context", attempt(lambda: run_sync(reads_context())))
    deadline.reset(token)


def main() -> None:
    """Read the code, run it, and try its function outside and inside a running loop."""
    namespace: dict[str, Any] = {"__name__": "cell"}
    try:
        exec(compile(sys.stdin.read(), "<cell>", "exec"), namespace)
    except Exception as error:
        report("cell", f"{type(error).__name__}: {error}")
        return
    run_sync = namespace["run_sync"]
    trials(run_sync, "outside")

    async def inside() -> None:
        trials(run_sync, "inside")

    asyncio.run(inside())
    nested = {"nest_asyncio", "nest_asyncio2"} & set(sys.modules)
    report("nested", "yes" if nested else "no")


if __name__ == "__main__":
    main()
