"""A process that executes notebooks, seen from outside."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Any

import psutil


class Done(StrEnum):
    """How a notebook ended: at its end, with an exception of its own, by the limit on a cell, or without its kernel."""

    COMPLETE = "complete"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    LOST = "lost"


class Worker:
    """A process that executes notebooks one after the other; a new one takes its place if it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Execute one notebook; yields what the process says, the last of it with `done`.

        Ends early if the process dies.
        """
        if self._stopped:
            return
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_lab.notebooks.execute"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C is for us to pass on: a kernel that is interrupted as well leaves no notebook
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

    def stop(self) -> None:
        """End the process and its kernel for good; the kernel's fake ends with it."""
        self._stopped = True
        self.kill()

    def kill(self) -> None:
        """End what is running now; the next `run` starts a new process."""
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
