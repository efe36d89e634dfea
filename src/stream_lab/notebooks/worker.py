"""The outside of a process that executes notebooks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Any

import psutil


class Done(StrEnum):
    """How a notebook ended.

    COMPLETE: at its end. EXCEPTION: its code raised one. TIMEOUT: by the limit on a cell. LOST:
    without its kernel, or it could not begin.
    """

    COMPLETE = "complete"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    LOST = "lost"


class Worker:
    """A process that executes notebooks one after the other, and is replaced if it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Execute one notebook.

        Args:
            task: The arguments of `stream_lab.notebooks.execute.execute`, by name.

        Yields:
            The messages of the process, the last of them with `done`; none of that kind if it dies.
        """
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_lab.notebooks.execute"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # a kernel that Ctrl-C reaches leaves no notebook
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except OSError:
            return
        for line in self._process.stdout:
            facts: dict[str, Any] = json.loads(line)
            yield facts
            if "done" in facts:
                return

    def kill(self) -> None:
        """End the process and all that it started; the next `run` starts a new one."""
        if self._process is None or self._process.poll() is not None:
            return
        try:
            family = [
                psutil.Process(self._process.pid),
                *psutil.Process(self._process.pid).children(recursive=True),
            ]
        except psutil.NoSuchProcess:
            return
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        _, alive = psutil.wait_procs(family, timeout=3)
        for member in alive:
            with suppress(psutil.NoSuchProcess):
                member.kill()
