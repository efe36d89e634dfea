"""A program: started, awaited until it is ready, and stopped."""

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
from stream_lab.processes.warm import WarmError, WarmProcess

READY_WITHIN = 60.0  # seconds
LONGER = 5
"""How often a program that still gets ready has as long again."""
END_WITHIN = 4.0  # seconds; a handler that blocks its thread would keep its process alive

# Becomes the program, and leaves a watcher behind, which ends the program if this process is gone
# without saying goodbye. The watcher is not a child, since gunicorn, for one, counts its children.
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
    """A running program, which stops with `close()`, or with this process.

    Attributes:
        log: its output so far, standard output and error.
        pid: its process id.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool],
        *,
        env: dict[str, str] | None = None,
        sockets: Sequence[socket.socket] = (),
        warm: bool = False,
        log: Path | None = None,
        within: float = READY_WITHIN,
        ends_within: float = END_WITHIN,
        started: Callable[[int], None] = lambda pid: None,
        works: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start the program and wait until it is ready.

        Args:
            name: its name, for messages.
            command: the program and its arguments; with `warm`, a Python module and its arguments.
            ready: tells whether it is ready.
            env: variables besides those of this process.
            sockets: sockets that it inherits, by number.
            warm: whether the program is a fork of a process that has imported LangChain already.
            log: the file that keeps its output. None: the output is lost with `close`.
            within: seconds until it must be ready, or until `works` is asked.
            ends_within: seconds until it must have ended after a request to stop.
            started: called with its process id before it is ready.
            works: tells whether it is still getting ready. Then it has as long again, at most
                five times.

        Raises:
            ProcessError: it ends before it is ready, or takes too long; the text has its last line.
        """
        self._name = name
        self._log = TemporaryFile() if log is None else log.open("w+b")  # noqa: SIM115 - it lives as long as the process
        self._ends_within = ends_within
        try:
            self._process = self._start(command, {**os.environ, **(env or {})}, sockets, warm)
        except WarmError:
            raise ProcessError(f"{name} did not start: it printed nothing") from None
        try:
            started(self.pid)
            self._wait(ready, within, works)
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        # The program writes at the file's position, which a reader must not move.
        file = self._log.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> int:
        """Wait until the program ends by itself, and return its status."""
        return self._process.wait()

    def close(self) -> None:
        """Stop the program and everything that it has started, in any state."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._ends_within)
        with suppress(ProcessLookupError):  # its surviving children, and the watcher
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

    def _start(
        self,
        command: Sequence[str],
        env: dict[str, str],
        sockets: Sequence[socket.socket],
        warm: bool,
    ) -> "WarmProcess | subprocess.Popen[bytes]":
        # Its own session keeps Ctrl-C away; this process gets it, and stops the program in order.
        if warm:
            module, *arguments = command
            return WarmProcess(module, arguments, env=env, output=self._log, sockets=sockets)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WATCHED, *command],
            env=env,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=[each.fileno() for each in sockets],
            start_new_session=True,
        )

    def _wait(self, ready: Callable[[], bool], within: float, works: Callable[[], bool]) -> None:
        for time_given in range(1, 2 + LONGER):
            end = time.monotonic() + within
            while time.monotonic() < end:
                if self._process.poll() is not None:
                    last = self.log.strip().splitlines()[-1:] or ["it printed nothing"]
                    raise ProcessError(f"{self._name} did not start: {last[0]}")
                if ready():
                    return
                time.sleep(0.02)
            if time_given > LONGER or not works():
                break
        raise ProcessError(f"{self._name} was not ready within {time_given * within:g} s.")
