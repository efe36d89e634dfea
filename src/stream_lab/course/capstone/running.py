"""The service as in production: a model's server, the relay, nginx in front of it."""

import os
import re
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from stream_lab.course.exercise import Wrong
from stream_lab.experiment.endpoint import bundled
from stream_lab.extras import require
from stream_lab.processes.ports import answers, free_port
from stream_lab.processes.process import Process, ProcessError
from stream_lab.processes.programs import MissingPart
from stream_lab.processes.proxy import Proxy

LIMIT = 5.0
"""Seconds that an answer may take: ANSWER_SECONDS of the shipped relay.env."""
THINKS = 2.6
"""Seconds until the first token of a question with the word "Think"."""
TEXT = " ".join(["one two three"] * 8)
LONG = " ".join(["one two three"] * 20)
GAP = 0.06
RULES: list[dict[str, Any]] = [
    {"prompt": "A title for", "say": "A title that takes a while, as titles do"},
    {"prompt": "Think", "say": TEXT, "scenario": f"pace:first_token={THINKS * 1000:.0f}"},
    {"prompt": "Babble", "scenario": "endless"},
    {"prompt": "Refuse", "scenario": "refuse:status=503,times=0"},
    {"prompt": "Break", "say": LONG, "scenario": "reset:after=9"},
    {"prompt": "Tell", "say": LONG},
    {"prompt": "Count", "say": TEXT},
]  # fmt: skip
"""What the model's server plays, by a word of the question."""

MAIN = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include {site};
}}
"""
LISTENS, SERVES = r"listen\s+[\w.:\[\]*]*8080\b", r"(127\.0\.0\.1|localhost):8000\b"
STARTS_WITHIN = 20.0


class Relay(Process):
    """The relay in a process: uvicorn with the reader's relay.py and relay.env."""

    def __init__(self, files: Mapping[str, str], folder: Path, model: Mapping[str, str]) -> None:
        """Start it.

        Args:
            files: The files of the service.
            folder: Where relay.py is.
            model: BASE_URL and MODEL.

        Raises:
            ProcessError: It does not start.
        """
        require("fastapi", "sse_starlette", "uvicorn", extra="relay")
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            super().__init__(
                "The relay",
                ["uvicorn", "relay:app", "--fd", str(listening.fileno()), "--app-dir", str(folder)],
                lambda: answers(f"{self.url}/openapi.json"),
                env={**variables(files["relay.env"]), **model},
                sockets=[listening],
                warm=True,
                within=STARTS_WITHIN,
            )

    def stop(self) -> None:
        """Send TERM, as a deployment does. Returns at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


class Running:
    """The service while it runs.

    Attributes:
        gpu: The model's server, a fake.
        relay: The relay.
        front: The address that the pages use: nginx's, or the relay's where there is no nginx.
        without_nginx: Why there is no nginx; empty if it runs.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        """Start all parts.

        Raises:
            Wrong: A part does not start with these files; the text has its last line.
        """
        _look_at(files)
        self._parts = ExitStack()
        self.without_nginx = ""
        try:
            folder = Path(self._parts.enter_context(TemporaryDirectory(prefix="capstone-")))
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8")
            self.gpu = bundled("finite", gap=GAP, rules=RULES)
            self._parts.callback(self.gpu.close)
            model = {"BASE_URL": self.gpu.base_url, "MODEL": self.gpu.model}
            self.relay = self._parts.enter_context(Relay(files, folder, model))
            self.front = self.relay.url
            try:
                self.front = self._parts.enter_context(
                    _nginx(files["nginx.conf"], folder, self.relay.url)
                ).url
            except MissingPart as missing:
                self.without_nginx = str(missing)
        except ProcessError as error:
            self.close()
            raise Wrong(_plain(str(error))) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop all parts."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def variables(text: str) -> dict[str, str]:
    """Return the variables of an environment file.

    Raises:
        Wrong: A line has no `=`.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals:
            raise Wrong(f"relay.env, line {number}, is not of the form NAME=value.")
        found[name.strip()] = value.partition(" #")[0].strip().strip("\"'")
    return found


def _look_at(files: Mapping[str, str]) -> None:
    """Find what can be found before anything starts.

    Raises:
        Wrong: relay.py is no Python, or an address that the checks replace is missing.
    """
    try:
        compile(files["relay.py"], "relay.py", "exec")
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}," if isinstance(error, SyntaxError) else ""
        raise Wrong(f"relay.py{line} is no Python: {error.args[0]}.") from None
    if not re.search(LISTENS, files["nginx.conf"]) or not re.search(SERVES, files["nginx.conf"]):
        raise Wrong(
            "nginx.conf must keep `listen 8080;` and `127.0.0.1:8000`: the checks put free ports "
            "in their place."
        )


def _nginx(site: str, folder: Path, relay: str) -> Proxy:
    """Start nginx with the reader's site, on a free port and with the relay's address.

    Raises:
        MissingPart: nginx is not installed.
        ProcessError: nginx does not start.
    """
    port = free_port()
    site = re.sub(LISTENS, f"listen 127.0.0.1:{port}", site)
    site = re.sub(SERVES, relay.removeprefix("http://"), site)
    file = folder / "nginx.conf"
    file.write_text(site, encoding="utf-8")
    return Proxy(
        "nginx", port, MAIN.format(site=file), ["-p", "{folder}", "-c", "{file}", "-e", "stderr"]
    )


def _plain(text: str) -> str:
    """Return a program's last line without folders and times."""
    text = re.sub(r"\d{4}/\d\d/\d\d [\d:]+ \[(\w+)\] \d+#\d+: ", r"[\1] ", text)
    return re.sub(r"(?<![\w:/])/[\w./-]*/(?=[\w-]+\.(conf|py))", "", text)
