"""What Python reports beside the calls: lost errors, coroutines never awaited, unclosed files."""

import asyncio
import gc
import logging
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from types import AsyncGeneratorType
from typing import Any

from stream_lab.soak.outcome import FROM_SERVER

LOGGERS = ("stream_deadline", "asyncio")
"""Loggers whose errors are complaints; the library logs what it must not raise."""
AT_THE_END = "unhandled exception during asyncio.run() shutdown"
"""What asyncio reports of a task that fails in the moment in which its loop ends.

If the server broke off in that moment, the library's own task is such a task.
"""
DESTROYED = "Task was destroyed but it is pending!"
"""What asyncio reports if another thread collects a generator just before its loop is closed.

The collector asks the loop for a task that closes the generator, and the loop runs no more tasks.
"""
CLOSES_ALREADY = "aclose(): asynchronous generator is already running"
"""What a task of the collector says if another one already closes the same generator.

The collector has the loop close each of the generators that lie inside one another, and the outer
ones close the inner ones, too.
"""
RUNS_ALREADY = "async generator already executing"
"""What Python reports if an event loop closes a generator that another thread has collected.

The bare SDK leaves its streams of a broken answer to the collector: generators inside generators.
For the outermost one, the collector asks the event loop to close it. The loop closes those inside,
too, and the collector, which is still on its way through them, finds them at work.
"""
CLIENTS = {"httpx", "httpx2", "httpcore", "httpcore2", "openai"}
"""Packages that leave generators to the collector; the library leaves none."""


class Complaints:
    """What was reported and not raised, from all threads and event loops of the process."""

    def __init__(self) -> None:
        self._kept: Counter[str] = Counter()
        self._keeping = threading.Lock()

    def add(self, kind: str, text: object) -> None:
        """Note one complaint.

        Args:
            kind: which of Python's hooks reported it.
            text: what it says.
        """
        with self._keeping:
            self._kept[f"{kind}: {text}"] += 1

    def take(self) -> list[str]:
        """Return the complaints since the last call, with how often each came."""
        gc.collect()
        with self._keeping:
            kept, self._kept = self._kept, Counter()
        return [f"{text} ({times}×)" if times > 1 else text for text, times in kept.items()]

    def of_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what an event loop reports: errors never retrieved, tasks destroyed."""
        error = context.get("exception")
        if context["message"] == AT_THE_END and isinstance(error, FROM_SERVER):
            return
        task = context.get("task") or context.get("future")
        by_collector = isinstance(task, asyncio.Task) and _closes_a_generator(task)
        if by_collector and (context["message"] == DESTROYED or str(error) == CLOSES_ALREADY):
            return
        self.add(
            "event loop", f"{context.get('message')} {error!r}" if error else context["message"]
        )

    @contextmanager
    def listening(self, loop: asyncio.AbstractEventLoop | None = None) -> Iterator[None]:
        """Note everything that is reported inside a `with` block.

        Args:
            loop: the event loop that runs here. None: none.
        """
        before = sys.unraisablehook, threading.excepthook
        handler = _Handler(self)
        sys.unraisablehook = self._unraisable
        threading.excepthook = lambda report: self.add("thread", repr(report.exc_value))
        if loop is not None:
            loop.set_exception_handler(self.of_loop)
        for name in LOGGERS:
            logging.getLogger(name).addHandler(handler)
        try:
            with warnings.catch_warnings():
                for category in (ResourceWarning, RuntimeWarning):
                    warnings.simplefilter("always", category)
                warnings.showwarning = self._warned  # type: ignore[assignment]
                yield
        finally:
            sys.unraisablehook, threading.excepthook = before
            for name in LOGGERS:
                logging.getLogger(name).removeHandler(handler)

    def _unraisable(self, report: "sys.UnraisableHookArgs") -> None:
        if not _is_closed_by_its_loop(report):
            self.add(
                "unraisable",
                f"{report.err_msg or 'ignored'}: {report.exc_value!r} in {report.object!r}",
            )

    def _warned(self, message: Warning | str, category: type[Warning], *_: Any) -> None:
        if issubclass(category, ResourceWarning | RuntimeWarning):
            self.add(category.__name__, message)


def _closes_a_generator(task: "asyncio.Task[Any]") -> bool:
    """Tell whether a task was made by the collector."""
    return type(task.get_coro()).__name__ == "async_generator_athrow"


def _is_closed_by_its_loop(report: "sys.UnraisableHookArgs") -> bool:
    """Tell whether a client's generator was collected while its event loop closed it."""
    return (
        isinstance(report.exc_value, ValueError)
        and str(report.exc_value) == RUNS_ALREADY
        and isinstance(report.object, AsyncGeneratorType)
        and not CLIENTS.isdisjoint(PurePath(report.object.ag_code.co_filename).parts)
    )


class _Handler(logging.Handler):
    """Makes complaints of a logger's errors."""

    def __init__(self, complaints: Complaints) -> None:
        super().__init__(logging.ERROR)
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() + (f" {error!r}" if error else "")
        self._complaints.add(f"log of {record.name}", text)
