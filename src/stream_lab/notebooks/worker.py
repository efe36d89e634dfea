"""The outside of a process that executes notebooks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import IO, Any

from stream_lab.notebooks.left_behind import end_below


class Done(StrEnum):
    """How a notebook ended.

    COMPLETE: at its end. EXCEPTION: its code raised one. TIMEOUT: by the limit on a cell. LOST:
    without its kernel, or it could not begin.
    """

    COMPLETE = "complete"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    LOST = "lost"


ENDS_WITHIN = 5.0
"""Seconds from the end of a process's messages to its own end."""


class Worker:
    """A process that executes notebooks one after the other, and is replaced if it dies.

    Attributes:
        ended: Command lines of what the notebook had started when `kill` ended it.
        killed: Whether `kill` ended the notebook.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._pipe: IO[str] | None = None
        self.ended: list[str] = []
        self.killed = False

    def run(self, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Execute one notebook.

        Args:
            task: The arguments of `stream_lab.notebooks.execute.execute`, by name.

        Yields:
            The messages of the process, the last of them with `done`; none of that kind if it dies.
        """
        self.ended, self.killed = [], False
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._pipe is not None
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except OSError:
            return
        for line in self._pipe:
            facts: dict[str, Any] = json.loads(line)
            yield facts
            if "done" in facts:
                return

    def status(self) -> int | None:
        """Return the exit status of the process, negative for a signal; None: it runs."""
        if self._process is None:
            return None
        try:
            return self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process and all that it started; the next `run` starts a new one."""
        if self._process is not None and self._process.poll() is None:
            self.killed = True
            self.ended += end_below(self._process.pid)
            self._process.kill()

    def _start(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        ours, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_lab.notebooks.execute", str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs],
                text=True,
                start_new_session=True,  # a kernel that Ctrl-C reaches leaves no notebook
            )
        finally:
            os.close(theirs)
        self._pipe = os.fdopen(ours, encoding="utf-8")
