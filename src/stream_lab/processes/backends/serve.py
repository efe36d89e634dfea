"""A real server on this machine, from its start to its end."""

import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
from rich.console import Console

from stream_lab.experiment.endpoint import Endpoint, open_endpoint
from stream_lab.http.client import direct_client
from stream_lab.processes.backends.environments import RealServerError, home, place_for
from stream_lab.processes.backends.recipe import Place, Recipe
from stream_lab.processes.backends.vllm import VLLM
from stream_lab.processes.ports import free_port
from stream_lab.processes.process import Process, ProcessError

PORT = 8100
ENDS_WITHIN = 15.0  # seconds; vLLM takes about three


class RealServer(Process):
    """A running server of another project.

    Attributes:
        url: its address, which ends in /v1.
        model: the name of its model.
        place: the place where it runs.
        file: the file with its output.
    """

    def __init__(self, recipe: Recipe, console: Console, port: int | None = None) -> None:
        """Set up what is missing, start the server on 127.0.0.1, and wait until it answers.

        Args:
            recipe: the server's recipe.
            console: shows the progress.
            port: the port. None: a free one.

        Raises:
            RealServerError: memory or disk are too small, the port is taken, the installation
                failed, or the server ended before it answered.
        """
        _check(recipe, port)
        self.place = place = place_for(recipe, port or free_port(), console)
        self.url = f"http://127.0.0.1:{place.port}/v1"
        self.model = recipe.model.format(folder=place.folder)
        self.file = place.folder / f"{re.sub(r'[^a-z0-9]+', '-', recipe.name.lower())}.log"
        with console.status(f"Starting {recipe.name} …") as status:
            try:
                super().__init__(
                    recipe.name,
                    recipe.command(place),
                    _ready(recipe, place, lambda seconds: status.update(_waiting(recipe, seconds))),
                    env={
                        name: value.format(folder=place.folder)
                        for name, value in recipe.variables.items()
                    },
                    log=self.file,
                    within=recipe.starts_within,
                    ends_within=ENDS_WITHIN,
                    started=_let_clients_run,
                )
            except ProcessError as error:
                raise RealServerError(f"{str(error).rstrip('.')}; see {home(self.file)}.") from None


def stay(port: int, console: Console) -> None:
    """Run a real vLLM until Ctrl-C.

    Raises:
        RealServerError: it does not start, or ends by itself.
    """
    with RealServer(VLLM, console, port) as server:
        console.print(
            f"A real vLLM serves '{server.model}' at {server.url} (pid {server.pid}). "
            "In another terminal:"
        )
        console.print(
            f"\n    make run BASE_URL={server.url} MODEL={server.model}\n", highlight=False
        )
        console.print("Ctrl-C stops it.")
        status = server.wait()
        raise RealServerError(
            f"vLLM ended by itself with status {status}; its output is in {home(server.file)}."
        )


def running(port: int = PORT) -> str | None:
    """Return the address of the real vLLM that `stay` runs here. None: there is none."""
    root = f"http://127.0.0.1:{port}"
    try:
        with direct_client(timeout=2) as client:
            answers = (
                client.get(f"{root}/health").status_code == 200
                and VLLM.model in client.get(f"{root}/v1/models").text
            )
    except httpx2.HTTPError:
        return None
    return f"{root}/v1" if answers else None


def real_or_bundled(base_url: str | None, model: str | None) -> Endpoint:
    """Open the server at `base_url`, or a real vLLM of this machine, or the fake.

    Raises:
        EndpointError: the server at `base_url` cannot be used.
    """
    return open_endpoint(base_url or running(), model)


def _check(recipe: Recipe, port: int | None) -> None:
    with socket.socket() as probe:
        if port is not None and probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RealServerError(f"Port {port} is taken; choose another with --port.")
    if (free := psutil.virtual_memory().available) < recipe.memory:
        raise RealServerError(
            f"{recipe.name} needs about {recipe.memory / 1e9:.0f} GB of free memory, "
            f"and {free / 1e9:.1f} GB are free; "
            "close something first."
        )


def _ready(recipe: Recipe, place: Place, tell: Callable[[float], None]) -> Callable[[], bool]:
    client = direct_client(timeout=5)
    started = time.monotonic()

    def ready() -> bool:
        tell(time.monotonic() - started)
        try:
            return client.get(f"http://127.0.0.1:{place.port}{recipe.ready}").status_code == 200
        except httpx2.HTTPError:
            return False

    return ready


def _waiting(recipe: Recipe, seconds: float) -> str:
    return f"Starting {recipe.name} … {seconds:.0f} s (usually {recipe.usually})"


def _let_clients_run(pid: int) -> None:
    """Give the server's processes the lowest share of the CPU.

    Measured on 2 cores, Linux 6.18: while vLLM generates in its own session, a client that sleeps
    for 20 ms at a time stands still for up to 4 to 7 s, since the scheduler shares the cores
    between sessions. With this function, its longest pause is 20 ms.
    """
    psutil.Process(pid).nice(10)
    with suppress(OSError):  # on a system without automatic groups, the line above is enough
        Path(f"/proc/{pid}/autogroup").write_text("19")
