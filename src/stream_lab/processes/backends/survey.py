"""The servers of the table: each is started, loses its clients, and is stopped again."""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_lab.experiment.fake import Fake
from stream_lab.experiment.release import Busy, CpuTime, Gauges
from stream_lab.processes.backends import release_table
from stream_lab.processes.backends.environments import RealServerError
from stream_lab.processes.backends.litellm import litellm
from stream_lab.processes.backends.llama_cpp import LLAMA_CPP
from stream_lab.processes.backends.recipe import Recipe
from stream_lab.processes.backends.release_table import Freed
from stream_lab.processes.backends.serve import RealServer
from stream_lab.processes.backends.torch_serving import TRANSFORMERS, torch_server
from stream_lab.processes.backends.vllm import VLLM

BEHIND = "the /metrics of the fake behind it"


class Subject:
    """A running server whose clients will disconnect.

    Attributes:
        url: its address, which ends in /v1.
        model: the model to request. Empty: none.
        busy: the witness of its work.
        version: its version. Empty: not shown.
        extra_body: further fields of its requests. None: no fields.
    """

    def __init__(
        self,
        url: str,
        model: str,
        busy: Busy,
        version: str = "",
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        self.url, self.model, self.busy, self.version, self.extra_body = (
            url,
            model,
            busy,
            version,
            extra_body,
        )


Opens = Callable[[Console, ExitStack], Subject]


def row(name: str, console: Console) -> Freed:
    """Start a server, disconnect its clients, and stop it.

    Raises:
        RealServerError: it cannot be set up or started, or refuses the request.
        MissingPart: nginx or HAProxy is missing.
    """
    with ExitStack() as stack:
        subject = SUBJECTS[name](console, stack)
        with console.status(f"{name}: its clients disconnect …"):
            return release_table.try_out(
                name,
                subject.version,
                subject.url,
                subject.model,
                subject.busy,
                extra_body=subject.extra_body,
            )


def _fake(console: Console, stack: ExitStack) -> Subject:
    fake = stack.enter_context(Fake("endless", gap=0.02))
    return Subject(fake.base_url, fake.model, Gauges(fake.root))


def _gauged(recipe: Recipe, version: str = "") -> Opens:
    def opens(console: Console, stack: ExitStack) -> Subject:
        server = stack.enter_context(RealServer(recipe, console))
        return Subject(server.url, server.model, Gauges(server.url.removesuffix("/v1")), version)

    return opens


def _torch_server(console: Console, stack: ExitStack) -> Subject:
    return _gauged(torch_server(_checkout()))(console, stack)


def _checkout() -> Path:
    """Return the checkout's folder, in which `gpu` is a package."""
    spec = find_spec("gpu.torch_server") if find_spec("gpu") else None
    if spec is None or spec.origin is None:
        raise RealServerError(
            "gpu/torch_server is not part of the installation; run this in the project's checkout."
        )
    return Path(spec.origin).parents[2]


def _silent(recipe: Recipe, package: str) -> Opens:
    def opens(console: Console, stack: ExitStack) -> Subject:
        server = stack.enter_context(RealServer(recipe, console))
        return Subject(
            server.url,
            server.model,
            CpuTime(server.pid),
            _installed(server.place.python, package),
            recipe.extra_body,
        )

    return opens


def _proxied(start: Callable[[Fake, Console, ExitStack], tuple[str, str, str]]) -> Opens:
    def opens(console: Console, stack: ExitStack) -> Subject:
        fake = stack.enter_context(Fake("endless", gap=0.005))
        url, model, version = start(fake, console, stack)
        return Subject(url, model, Gauges(fake.root, BEHIND), version)

    return opens


def _nginx(fake: Fake, console: Console, stack: ExitStack) -> tuple[str, str, str]:
    from stream_lab.processes import Nginx

    return (
        f"{stack.enter_context(Nginx(fake.root)).url}/v1",
        fake.model,
        _said("nginx", "-v").rpartition("/")[2],
    )


def _haproxy(fake: Fake, console: Console, stack: ExitStack) -> tuple[str, str, str]:
    from stream_lab.processes import Haproxy

    return (
        f"{stack.enter_context(Haproxy(fake.root)).url}/v1",
        fake.model,
        _said("haproxy", "-v").split()[2].partition("-")[0],
    )


def _litellm(fake: Fake, console: Console, stack: ExitStack) -> tuple[str, str, str]:
    recipe = litellm(fake.base_url, fake.model)
    server = stack.enter_context(RealServer(recipe, console))
    return server.url, server.model, _version(recipe)


def _version(recipe: Recipe) -> str:
    return recipe.environment.packages[0].partition("==")[2]


def _installed(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _said(program: str, flag: str) -> str:
    from stream_lab.processes.programs import find

    done = subprocess.run([find(program), flag], capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]


SUBJECTS: dict[str, Opens] = {
    "fake-vllm": _fake,
    "vLLM": _gauged(VLLM, _version(VLLM)),
    "gpu/torch_server": _torch_server,
    "transformers serve": _silent(TRANSFORMERS, "transformers"),
    "llama-cpp-python": _silent(LLAMA_CPP, "llama-cpp-python"),
    "nginx, then fake-vllm": _proxied(_nginx),
    "HAProxy, then fake-vllm": _proxied(_haproxy),
    "LiteLLM proxy, then fake-vllm": _proxied(_litellm),
}
