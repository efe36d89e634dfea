"""A program that is started, waited for, listened to and stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from stream_lab.errors import LabError

READY_WITHIN = 60.0  # seconds
END_WITHIN = 4.0  # a handler that blocks its thread would keep its process for as long as it likes

# Becomes the program, and leaves a watcher behind that ends it when this process is gone without having said goodbye.
# The watcher is not a child: gunicorn, for one, counts its own.
WATCHED = """
import os, signal, sys
group = os.getpid()
if os.fork() == 0:
    if os.fork() == 0 and not os.read(0, 1):
        os.killpg(group, signal.SIGKILL)
    os._exit(0)
os.wait()
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
GOODBYE = b"."


class ProcessError(LabError):
    """Raised when a program does not start; the text has its last line."""


class Process:
    """A running program. `log`: what it has printed so far, on both its outputs. Stops with `close()`, or with this process."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool],
        *,
        env: dict[str, str] | None = None,
        sockets: Sequence[socket.socket] = (),
        log: Path | None = None,
        within: float = READY_WITHIN,
        ends_within: float = END_WITHIN,
        started: Callable[[int], None] = lambda pid: None,
    ) -> None:
        """Start it and wait until it is ready. `env`: variables besides those of this process. `sockets`: it inherits, by number.

        `log`: a file that keeps what it prints; None: nothing does, once it is closed. `within`: seconds it has to get ready.
        `ends_within`: seconds it has to end when it is asked to. `started`: is called with its process id before it is ready.

        Raises:
            ProcessError: it ends before that, with its last line; or takes too long.
        """
        self._name = name
        self._log = TemporaryFile() if log is None else log.open("w+b")  # noqa: SIM115 - it lives as long as the process
        self._ends_within = ends_within
        # A session of its own: Ctrl-C is for the program that started it, which then stops it in order.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WATCHED, *command],
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=[each.fileno() for each in sockets],
            start_new_session=True,
        )
        try:
            started(self.pid)
            self._wait(ready, within)
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        # The program writes where the file stands, and must not find that moved by a reader.
        file = self._log.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> int:
        """Wait until it ends by itself; returns its status."""
        return self._process.wait()

    def close(self) -> None:
        """Stop it and all that it has started, in any state."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._ends_within)
        with suppress(ProcessLookupError):  # what has outlived it, and its watcher
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(GOODBYE)
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait(self, ready: Callable[[], bool], within: float) -> None:
        end = time.monotonic() + within
        while time.monotonic() < end:
            if self._process.poll() is not None:
                last = self.log.strip().splitlines()[-1:] or ["it said nothing"]
                raise ProcessError(f"{self._name} did not start: {last[0]}")
            if ready():
                return
            time.sleep(0.02)
        raise ProcessError(f"{self._name} was not ready within {within:g} s.")
