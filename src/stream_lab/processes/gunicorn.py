"""A real gunicorn, with workers of any class."""

import os
import re
import signal

from stream_lab.extras import require
from stream_lab.processes.ports import answers, free_port, listens
from stream_lab.processes.process import Process


class Gunicorn(Process):
    """A gunicorn that serves an application with this Python.

    Attributes:
        url: its address.
        log: its output so far, and its workers'.
    """

    def __init__(self, app: str, *options: str, env: dict[str, str] | None = None) -> None:
        """Start gunicorn and wait until a worker answers.

        Args:
            app: the application, as "module:variable".
            options: options like "--timeout=2"; the port is chosen here.
            env: variables for the application. None: only those of this process.

        Raises:
            ProcessError: gunicorn does not start; the text has its last line.
        """
        require("gunicorn", extra="relay")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = ["gunicorn", app, f"--bind=127.0.0.1:{port}", "--no-control-socket", *options]

        def ready() -> bool:
            # Making a client is slow, and gunicorns that start together would delay each other.
            return listens(port) and answers(self.url)

        super().__init__("gunicorn", command, ready, env=env, warm=True)

    def said(self, *words: str) -> list[str]:
        """Return the log lines that contain one of these words, each once.

        Times and process numbers are removed, since they differ from run to run.
        """
        lines = [
            re.sub(r"^\[[^]]*\] \[\d+\] ", "", line)
            for line in self.log.splitlines()
            if any(word in line for word in words)
        ]
        return list(dict.fromkeys(re.sub(r"pid:( ?)\d+", r"pid:\1PID", line) for line in lines))

    def stop(self) -> None:
        """Send TERM, as a deployment does. Returns at once; `close` waits."""
        os.kill(self.pid, signal.SIGTERM)

    def restart(self) -> None:
        """Replace the workers with HUP, as a rolling restart does."""
        os.kill(self.pid, signal.SIGHUP)
