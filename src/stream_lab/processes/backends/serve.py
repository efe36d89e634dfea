"""A real server on this machine, from its start to its end."""

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
from rich.console import Console

from stream_lab.experiment.endpoint import Endpoint, open_endpoint
from stream_lab.http.client import direct_client
from stream_lab.processes.backends.environments import RealServerError, home, place_for
from stream_lab.processes.backends.recipe import Recipe
from stream_lab.processes.backends.starting import Start
from stream_lab.processes.backends.vllm import VLLM
from stream_lab.processes.ports import free_port
from stream_lab.processes.process import Process, ProcessError

PORT = 8100
ENDS_WITHIN = 15.0  # seconds; vLLM takes about three
SHARE = 5  # as of nice: a third of what another session gets


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
                failed, or the server ended or stood still before it answered. The text says so if
                other programs took the CPU meanwhile.
        """
        _check(recipe, port)
        self.place = place = place_for(recipe, port or free_port(), console)
        self.url = f"http://127.0.0.1:{place.port}/v1"
        self.model = recipe.model.format(folder=place.folder)
        self.file = place.folder / f"{re.sub(r'[^a-z0-9]+', '-', recipe.name.lower())}.log"
        with console.status(f"Starting {recipe.name} …") as status:
            start = Start(
                f"http://127.0.0.1:{place.port}{recipe.ready}",
                self.file,
                recipe.starts_within,
                lambda seconds: status.update(_waiting(recipe, seconds)),
            )
            try:
                super().__init__(
                    recipe.name,
                    recipe.command(place),
                    start.is_ready,
                    env={
                        name: value.format(folder=place.folder)
                        for name, value in recipe.variables.items()
                    },
                    log=self.file,
                    within=recipe.starts_within,
                    ends_within=ENDS_WITHIN,
                    started=start.has_process,
                    works=start.works,
                )
            except ProcessError as error:
                why = f"{str(error).rstrip('.')}; see {home(self.file)}.{start.others()}"
                raise RealServerError(why) from None
        _let_clients_run(self.pid)


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


def _waiting(recipe: Recipe, seconds: float) -> str:
    return f"Starting {recipe.name} … {seconds:.0f} s (usually {recipe.usually})"


def _let_clients_run(pid: int) -> None:
    """Give a server's processes less of the CPU than their clients get.

    Measured on 2 cores, Linux 6.18: while vLLM generates in its own session, a client that sleeps
    for 20 ms at a time stands still for up to 4 to 7 s, since the scheduler shares the cores
    between sessions. With this function, its longest pause is 30 ms. A lower share than this one
    starves the server beside other programs: at 19 a vLLM wrote a token in 3 s and answered
    /metrics after 8 s, with as much other work as here leaves it 4 to 13 tokens a second.
    """
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            for thread in each.threads():
                if os.getpriority(os.PRIO_PROCESS, thread.id) < SHARE:
                    os.setpriority(os.PRIO_PROCESS, thread.id, SHARE)
    with suppress(OSError):  # on a system without automatic groups, the lines above are enough
        Path(f"/proc/{pid}/autogroup").write_text(str(SHARE))
