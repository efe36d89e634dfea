"""A real gunicorn with workers of any class."""

import os
import re
import signal
import sys

from stream_lab.extras import require
from stream_lab.processes.ports import answers, free_port, listens
from stream_lab.processes.process import Process


class Gunicorn(Process):
    """gunicorn with an application of this machine's Python. `url`: where it is. `log`: its own words, and its workers'."""

    def __init__(self, app: str, *options: str, env: dict[str, str] | None = None) -> None:
        """Start it and wait until a worker answers.

        `app`: as "module:variable". `options`: as "--timeout=2"; the port is chosen here. `env`: variables for the application.

        Raises:
            ProcessError: it does not start; with its last line.
        """
        require("gunicorn", extra="relay")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            app,
            f"--bind=127.0.0.1:{port}",
            "--no-control-socket",
            *options,
        ]
        # A client is dear to make; several gunicorns that start at once would wait for each other's.
        super().__init__("gunicorn", command, lambda: listens(port) and answers(self.url), env=env)

    def said(self, *words: str) -> list[str]:
        """Return the lines of its log that hold one of these words, each once.

        Times and process numbers are left out, since no two runs share them.
        """
        lines = [
            re.sub(r"^\[[^]]*\] \[\d+\] ", "", line)
            for line in self.log.splitlines()
            if any(word in line for word in words)
        ]
        return list(dict.fromkeys(re.sub(r"pid:( ?)\d+", r"pid:\1PID", line) for line in lines))

    def stop(self) -> None:
        """Tell it to end, as a deployment does: `kill -TERM`. Returns at once; `close` waits."""
        os.kill(self.pid, signal.SIGTERM)

    def restart(self) -> None:
        """Replace its workers, as a rolling restart does: `kill -HUP`."""
        os.kill(self.pid, signal.SIGHUP)
