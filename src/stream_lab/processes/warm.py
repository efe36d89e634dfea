"""Start Python programs as forks of a process that has imported the slow packages.

LangChain takes two seconds to import, and a dozen servers would each take them. The process that
runs `main` takes them once. It reads a byte for each program from a socket, with four files or
more: the request as JSON, standard input, the output, a pipe for the program's id and status, and
the sockets that the program inherits. It ends with its socket.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from importlib import import_module
from tempfile import TemporaryFile
from typing import IO, Any

from stream_lab.errors import LabError

SLOW = """
    langchain_openai langchain_core.prompts.chat langchain_core.output_parsers.string
    stream_deadline.asgi fastapi sse_starlette.sse uvicorn.main gunicorn.app.wsgiapp
""".split()
"""What the servers of the laboratory import from elsewhere."""

MAIN = f"from {__name__} import main; main()"
MOST_FILES = 32
ABOVE = 256
"""Files that arrive are kept from here on, clear of the numbers that a program expects."""

_lock = threading.Lock()
_channel: socket.socket | None = None


class WarmError(LabError):
    """Raised when the process that forks does not start, or has just ended."""


class WarmProcess:
    """A Python program in a session of its own, with what `Process` needs of `subprocess.Popen`.

    Attributes:
        pid: its process id.
        stdin: a pipe; the program ends when the pipe does so without a word.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        env: dict[str, str],
        output: IO[bytes],
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        """Start `python -m module`, with the working folder and import path of this process.

        Args:
            module: the module's name.
            arguments: its arguments.
            env: its environment.
            output: the file for its standard output and error.
            sockets: sockets that it inherits, by number.

        Raises:
            WarmError: there is no process to fork from.
        """
        numbers = [each.fileno() for each in sockets]
        request = {
            "argv": [module, *arguments], "env": env, "folder": os.getcwd(), "path": sys.path,
            "numbers": numbers,
        }  # fmt: skip
        reading, writing = os.pipe()
        self._status, status = os.pipe()
        self.stdin = open(writing, "wb", buffering=0)  # noqa: SIM115 - it lives as long as the process
        try:
            with TemporaryFile() as file:
                file.write(json.dumps(request).encode())
                file.flush()
                files = [file.fileno(), reading, output.fileno(), status, *numbers]
                with _lock, suppress(BrokenPipeError):
                    socket.send_fds(_warm(), [b"!"], files)
        finally:
            os.close(reading)
            os.close(status)
        self._reading = threading.Lock()
        self._returncode: int | None = None
        pid = self._line()
        if not pid:
            raise WarmError(f"No process could be forked for {module}.")
        self.pid = int(pid)

    def poll(self) -> int | None:
        """Return the program's status; None: it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the program's end, and return its status.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `timeout` seconds.
        """
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0)
        return status

    def terminate(self) -> None:
        """Ask the program to end."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def _look(self, timeout: float | None) -> int | None:
        if self._returncode is None:
            _says(self._status, timeout)
        with self._reading:
            if self._returncode is None and _says(self._status, 0):
                self._returncode = int(self._line() or -signal.SIGKILL)
                os.close(self._status)
        return self._returncode

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n") and (byte := os.read(self._status, 1)):
            line += byte
        return line


def _says(file: int, timeout: float | None) -> bool:
    """Wait for a byte to read, or for the end; return whether one came."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def _warm() -> socket.socket:
    """Return the way to the process that forks; start it if this process has none."""
    global _channel
    # The other end never says a word; what can be read is its end.
    if _channel is None or _says(_channel.fileno(), 0):
        ours, theirs = socket.socketpair()
        with theirs:
            subprocess.Popen(
                [sys.executable, "-c", MAIN, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )
        _channel = ours
    return _channel


def _forget() -> None:
    """Leave the process that forks to the parent: a fork starts one of its own."""
    global _channel, _lock
    _lock = threading.Lock()
    if _channel is not None:
        _channel.close()
        _channel = None


os.register_at_fork(after_in_child=_forget)


def _next_program(channel: socket.socket) -> dict[str, Any]:
    """Fork for each request. Returns in a program's process only, when it is as requested."""
    while True:
        byte, files, _, _ = socket.recv_fds(channel, 1, MOST_FILES)
        if not byte:
            os._exit(0)
        if os.fork() == 0:
            channel.close()
            high = [fcntl(file, F_DUPFD_CLOEXEC, ABOVE) for file in files]
            for file in files:
                os.close(file)
            _keep(high[3])
            return _become(high)
        for file in files:
            os.close(file)


def _keep(status: int) -> None:
    """Fork the program, and write its id and status. Returns in the program's process only."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        with suppress(BrokenPipeError):
            os.write(status, b"%d\n" % pid)
            ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.write(status, b"%d\n" % ended)
        os._exit(0)


def _become(files: list[int]) -> dict[str, Any]:
    """Give this process the request's session, files, environment, folder and import path."""
    os.setsid()
    with open(files[0], encoding="utf-8") as text:
        text.seek(0)
        request: dict[str, Any] = json.load(text)
    os.dup2(files[1], 0)
    # As in `process.WATCHED`: the program ends if its owner is gone without saying goodbye.
    group = os.getpid()
    if os.fork() == 0:
        if os.fork() == 0:
            os.closerange(1, ABOVE + MOST_FILES)
            if not os.read(0, 1):
                os.killpg(group, signal.SIGKILL)
        os._exit(0)
    os.wait()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, number in [(nothing, 0), (files[2], 1), (files[2], 2)]:
        os.dup2(source, number)
    os.close(nothing)
    for source, number in zip(files[4:], request["numbers"], strict=True):
        os.dup2(source, number)
    for file in files[1:]:
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    sys.path[:] = [request["folder"], *request["path"]]
    return request


def main() -> None:
    """Import the slow packages, fork for each request, and run the program in each fork."""
    for name in SLOW:
        with suppress(ImportError):  # an optional one; the program that needs it says so
            import_module(name)
    gc.freeze()  # a collection in a fork would copy every page
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    request = _next_program(channel)
    sys.argv[1:] = request["argv"][1:]
    runpy.run_module(request["argv"][0], run_name="__main__", alter_sys=True)
