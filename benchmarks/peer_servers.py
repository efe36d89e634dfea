"""The servers that `fake_vllm_peers.py` compares: installation, start, requests, watch, stop.

Peers are in a cache folder (`$XDG_CACHE_HOME` or ~/.cache, then stream-deadline/peers), each with a
fixed version and its own environment, never in the project's. All servers listen only on 127.0.0.1.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

HOST = "127.0.0.1"
STARTS_WITHIN = 90.0
INSTALLS_WITHIN = 1200.0
CONTEXT = 1_000_000_000
SLOTS = 20_000
MEGABYTE = 1e6


class Unfit(Exception):
    """Raised when a server cannot be installed, started or measured; the text says why."""


@dataclass(frozen=True)
class Load:
    """The load for a server: streams of `tokens` tokens, `gap_ms` milliseconds apart.

    Streams may be a few events longer: a first event without text, an end, a preamble.

    Attributes:
        scenario: the fake's scenario for it. None: a healthy answer of N tokens.
    """

    gap_ms: int
    tokens: int
    scenario: str | None = None

    @property
    def fake_scenario(self) -> str:
        return self.scenario or f"finite:tokens={self.tokens}"


class Peer:
    """One kind of server; `python` is that of its own environment, where it has one."""

    name: str
    is_peer = True
    what: str

    def install(self) -> None:
        """Install the server if necessary, or raise `Unfit`."""

    def command(self, port: int, load: Load, folder: Path) -> list[str]:
        """Return the command that starts it; `folder` is removed after the run."""
        raise NotImplementedError

    def body(self, load: Load) -> dict[str, object]:
        """Return the fields of a request for the load."""
        raise NotImplementedError

    def small(self) -> dict[str, object]:
        """Return the fields of a request for one short answer."""
        return self.body(Load(0, 1))


class Fake(Peer):
    """The fake of this project."""

    name = "fake"
    is_peer = False
    what = f"fake-vllm {version('fake-vllm')}"

    def command(self, port: int, load: Load, folder: Path) -> list[str]:
        flags = {
            "port": port,
            "gap-ms": load.gap_ms,
            "first-token-ms": 0,
            "max-num-seqs": SLOTS,
            "max-model-len": CONTEXT,
        }
        return [
            str(Path(sys.executable).with_name("fake-vllm")),
            *(f"--{name}={value}" for name, value in flags.items()),
        ]

    def body(self, load: Load) -> dict[str, object]:
        return {**said("Hi"), "fake_scenario": load.fake_scenario}


class Raw(Peer):
    """A bare ASGI application, for the cost of uvicorn itself."""

    name = "raw"
    is_peer = False
    what = (
        f"bare ASGI, uvicorn {version('uvicorn')}, uvloop {version('uvloop')}, httptools "
        f"{version('httptools')}"
    )

    def command(self, port: int, load: Load, folder: Path) -> list[str]:
        return [
            sys.executable,
            str(Path(__file__).with_name("bare_asgi.py")),
            str(port),
            str(load.gap_ms),
        ]

    def body(self, load: Load) -> dict[str, object]:
        return {**said("Hi"), "max_tokens": load.tokens}


class Aimock(Peer):
    """AIMock, which answers with a fixture in pieces of a few characters."""

    name = "aimock"
    package = "@copilotkit/aimock@1.43.0"
    what = f"npm {package}"

    def install(self) -> None:
        for tool in ("node", "npm"):
            if shutil.which(tool) is None:
                raise Unfit(f"there is no {tool} on the PATH; install Node.js 20.15 or newer")
        with Installing(self.package) as folder:
            if folder is not None:
                run(
                    [
                        "npm",
                        "install",
                        "--no-fund",
                        "--no-audit",
                        "--prefix",
                        str(folder),
                        self.package,
                    ]
                )

    def command(self, port: int, load: Load, folder: Path) -> list[str]:
        fixtures = [self._fixture("short", 1, 0), self._fixture("load", load.tokens, load.gap_ms)]
        file = folder / "fixtures.json"
        file.write_text(json.dumps({"fixtures": fixtures}))
        program = home(self.package) / "node_modules" / ".bin" / "llmock"
        return [
            str(program),
            "--port",
            str(port),
            "--host",
            HOST,
            "--fixtures",
            str(file),
            "--log-level",
            "silent",
        ]

    def body(self, load: Load) -> dict[str, object]:
        return said("load")

    def small(self) -> dict[str, object]:
        return said("short")

    def _fixture(self, message: str, tokens: int, gap_ms: int) -> dict[str, object]:
        answer = {"content": "word" * tokens}
        return {
            "match": {"userMessage": message},
            "response": answer,
            "latency": gap_ms,
            "chunkSize": 4,
        }


class Packaged(Peer):
    """A peer from PyPI, in its own environment."""

    package: str

    def install(self) -> None:
        with Installing(self.package) as folder:
            if folder is None:
                return
            python = str(folder / "bin" / "python")
            if (
                uv := shutil.which(
                    "uv",
                    path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
                )
            ) is not None:
                run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
                run(
                    [
                        uv,
                        "pip",
                        "install",
                        "--quiet",
                        "--compile-bytecode",
                        "--python",
                        python,
                        self.package,
                    ]
                )
            else:
                run([sys.executable, "-m", "venv", "--clear", str(folder)])
                run(
                    [
                        python,
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--disable-pip-version-check",
                        self.package,
                    ]
                )

    def program(self, name: str) -> str:
        return str(home(self.package) / "bin" / name)


class LlmKatan(Packaged):
    """LLM Katan, which repeats its prompt, four characters an event, after about thirty events."""

    name = "llm-katan"
    package = "llm-katan==0.22.0"
    what = f"PyPI {package}"

    def command(self, port: int, load: Load, folder: Path) -> list[str]:
        flags = {
            "model": "fake-model",
            "backend": "echo",
            "host": HOST,
            "port": port,
            "itl-ms": load.gap_ms,
            "log-level": "error",
            "stats-file": folder / "stats.json",
        }
        return [
            self.program("llm-katan"),
            *(f"--{name}={value}" for name, value in flags.items()),
            "--disable-dashboard",
        ]

    def body(self, load: Load) -> dict[str, object]:
        return said("word" * load.tokens)


class Guidellm(Packaged):
    """guidellm's mock server, without its tokenizer from a hub.

    It installs PyTorch: 5 GB, and a slow start.
    """

    name = "guidellm"
    package = "guidellm==0.8.1"
    what = f"PyPI {package}"

    def command(self, port: int, load: Load, folder: Path) -> list[str]:
        flags = {
            "host": HOST,
            "port": port,
            "ttft-ms": 0,
            "itl-ms": load.gap_ms,
            "output-tokens": load.tokens,
        }
        return [
            self.program("guidellm"),
            "mock-server",
            *(f"--{name}={value}" for name, value in flags.items()),
        ]

    def body(self, load: Load) -> dict[str, object]:
        return {**said("Hi"), "max_tokens": load.tokens}


PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Fake(), Raw(), Aimock(), LlmKatan(), Guidellm())
}


def said(prompt: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": prompt}]}


def request(fields: dict[str, object]) -> bytes:
    """Return a streaming chat request, as bytes; LLM Katan requires a key, of any value."""
    body = json.dumps(
        {"model": "fake-model", "stream": True, **fields}, separators=(",", ":")
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer "
        "none\r\ncontent-type: application/json\r\n"
    )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


# --- installing ------------------------------------------------


def home(package: str) -> Path:
    """Return the folder of a peer, whose name has its version."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (
        cache
        / "stream-deadline"
        / "peers"
        / package.replace("@copilotkit/", "").replace("@", "-").replace("==", "-")
    )


class Installing:
    """An installation, which begins again if it was interrupted.

    Entering returns the folder to install into, or None if the installation is complete.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.folder = home(package)
        self.done = self.folder / ".installed"

    def __enter__(self) -> Path | None:
        if self.done.exists():
            return None
        print(f"installing {self.package} …", file=sys.stderr, flush=True)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        return self.folder

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.done.touch()


def run(command: Sequence[str]) -> None:
    """Run an installer, or raise one sentence on its failure."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALLS_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unfit(f"it could not be installed within {INSTALLS_WITHIN:.0f} s") from None
    except OSError as error:
        raise Unfit(
            f"it could not be installed: {command[0]} does not run ({error.strerror})"
        ) from None
    if done.returncode:
        raise Unfit(
            "it could not be installed: "
            f"{said_last(done.stderr) or f'{command[0]} ended with {done.returncode}'}"
        )


def said_last(text: str) -> str:
    """Return the last meaningful line, shortened; npm's last line only names a log."""
    lines = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and "complete log of this run" not in line
    ]
    return lines[-1][:200] if lines else ""


# --- running ------------------------------------------------


class Server:
    """A running server, for the duration of a `with` block.

    Attributes:
        core: the core it is held on. None: any.
        started_in: seconds from the start of the process to the first event of its first stream.
    """

    started_in: float

    def __init__(self, peer: Peer, load: Load, core: int | None = None) -> None:
        self.peer = peer
        self.load = load
        self.core = core
        self.request = request(peer.body(load))
        self.port = free_port()
        self._rest = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
            self._said = undo.enter_context((folder / "stderr").open("w+"))
            command = self.peer.command(self.port, self.load, folder)
            pinned = [] if self.core is None else ["taskset", "-c", str(self.core)]
            environment = {
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "DO_NOT_TRACK": "1",
            }
            if isinstance(self.peer, Packaged):
                environment.pop("PYTHONPATH", None)
            begun = time.perf_counter()
            try:
                self._process = subprocess.Popen(
                    [*pinned, *command],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._said,
                )
            except OSError as error:
                raise Unfit(f"it does not start: {error.strerror}") from None
            undo.callback(self._stop)
            self._wait(begun)
            self._tree = [psutil.Process(self._process.pid)]
            self._tree += self._tree[0].children(recursive=True)
            self._rest = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rest.close()

    def cpu(self) -> float:
        """Return the CPU seconds so far, of the process and its children."""
        self._check()
        return sum(sum(process.cpu_times()[:2]) for process in self._tree)

    def rss(self) -> float:
        """Return the megabytes resident now, of the process and its children."""
        self._check()
        return sum(process.memory_info().rss for process in self._tree) / MEGABYTE

    def sockets(self) -> int:
        """Return the number of open file descriptors."""
        self._check()
        return sum(process.num_fds() for process in self._tree)

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise Unfit(f"it ended with status {self._process.returncode}: {self._last_words()}")

    def _last_words(self) -> str:
        self._said.seek(0)
        return said_last(self._said.read()) or "it said nothing"

    def _wait(self, begun: float) -> None:
        asked = request(self.peer.small())
        while True:
            self._check()
            try:
                with socket.create_connection(
                    (HOST, self.port), timeout=STARTS_WITHIN
                ) as connection:
                    connection.sendall(asked)
                    answer = b""
                    while b"data: " not in answer and (packet := connection.recv(65536)):
                        answer += packet
            except OSError:
                answer = b""
            self.started_in = time.perf_counter() - begun
            if b"data: " in answer:
                return
            if answer:
                raise Unfit(
                    f"it does not stream: {answer.splitlines()[0].decode(errors='replace')}"
                )
            if self.started_in > STARTS_WITHIN:
                raise Unfit(f"it did not start within {STARTS_WITHIN:.0f} s")
            time.sleep(0.002)

    def _stop(self) -> None:
        """End this process and its children, and no other."""
        mine: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            mine = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        _, alive = psutil.wait_procs(mine, timeout=0)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])
