"""Setting up and starting a third-party server; fake-vllm stands in for it here."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from stream_lab.processes.backends import (
    VLLM,
    Environment,
    Place,
    RealServer,
    RealServerError,
    Recipe,
    install,
    running,
    serve,
    starting,
    vllm_with,
)
from stream_lab.processes.backends.litellm import litellm
from stream_lab.processes.backends.llama_cpp import LLAMA_CPP
from stream_lab.processes.ports import free_port

STAND_IN = Recipe(
    "A stand-in",
    Environment("stand-in", packages=("nothing==1",)),
    lambda place: [
        sys.executable,
        "-m",
        "fake_vllm.cli",
        "--port",
        str(place.port),
        "--served-model-name",
        "tiny",
    ],
    model="tiny",
    starts_within=60.0,
)
Ran = list[list[str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "stream-deadline"


@pytest.fixture
def quiet() -> Console:
    return Console(file=StringIO())


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """The commands that would run; an environment is a folder with this `python`."""
    commands: Ran = []

    def run(command: list[str], variables: dict[str, str] | None = None) -> None:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            (Path(command[3]) / "bin").mkdir(parents=True)
            (Path(command[3]) / "bin" / "python").symlink_to(sys.executable)

    monkeypatch.setattr("stream_lab.processes.backends.environments._run", run)
    return commands


def test_an_environment_is_installed_once_and_again_for_other_packages(
    ran: Ran, cache: Path, quiet: Console
) -> None:
    environment = Environment("e", packages=("a==1",), unwanted=("b",))
    python = install(environment, quiet)
    assert python == cache / "e" / "venv" / "bin" / "python"
    assert [command[-1] for command in ran] == [str(cache / "e" / "venv"), "a==1", "b"]
    install(environment, quiet)
    assert len(ran) == 3
    install(replace(environment, packages=("a==2",)), quiet)
    assert [command[-1] for command in ran[3:]] == [str(cache / "e" / "venv"), "a==2", "b"]


def test_an_interrupted_installation_starts_again(ran: Ran, cache: Path, quiet: Console) -> None:
    left = cache / "e" / "venv" / "left over"
    left.mkdir(parents=True)
    install(Environment("e", packages=("a==1",)), quiet)
    assert not left.exists()


def test_too_little_disk_is_one_sentence_before_anything_is_done(ran: Ran, quiet: Console) -> None:
    with pytest.raises(
        RealServerError, match=r"needs 1000000000 GB on disk, and .* GB are free; make room in "
    ):
        install(Environment("e", packages=("a==1",), disk=1e18), quiet)
    assert ran == []


def test_an_installation_that_fails_says_why(
    quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(
        RealServerError,
        match=r"Setting up the server failed: .*No matching distribution found for no-such",
    ):
        install(Environment("e", packages=("no-such-package==1",)), quiet)


@pytest.mark.usefixtures("ran")
def test_a_server_serves_and_stops_and_its_log_is_kept(quiet: Console) -> None:
    with RealServer(STAND_IN, quiet) as server:
        assert server.url.endswith("/v1")
        port = int(server.url.split(":")[2].removesuffix("/v1"))
        assert running(port) == server.url
        mine = psutil.Process().nice()
        assert {each.nice() for each in tree(server.pid)} == {max(mine, serve.SHARE)}
        file = server.file
    assert running(port) is None
    assert file.name == "a-stand-in.log"
    assert "serves 'tiny'" in file.read_text(encoding="utf-8")


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def ends_at_once(place: Place) -> list[str]:
    return [str(place.python), "-c", "import sys; sys.exit('no such GPU')"]


def never_ready(place: Place) -> list[str]:
    return [str(place.python), "-c", "import time; time.sleep(60)"]


def late(work: str) -> Callable[[Place], list[str]]:
    """A server that works for some seconds before it starts."""
    script = f"import os, sys, time\nend = time.monotonic() + 1.3\nwhile time.monotonic() < end: {work}\nos.execv(sys.argv[1], sys.argv[1:])"
    return lambda place: [str(place.python), "-c", script, *STAND_IN.command(place)]


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(
    ("command", "within", "said"),
    [
        (ends_at_once, 60.0, r"A stand-in did not start: no such GPU; see .*a-stand-in\.log"),
        (never_ready, 1.0, "not ready within 1 s; see "),
    ],
    ids=["ends at once", "never ready"],
)
def test_a_start_that_fails_says_why_and_where_to_look(
    command: Callable[[Place], list[str]], within: float, said: str, quiet: Console
) -> None:
    with pytest.raises(RealServerError, match=said):
        RealServer(replace(STAND_IN, command=command, starts_within=within), quiet)


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(
    "work", ["pass", "print(1, flush=True); time.sleep(0.02)"], ids=["CPU time", "output"]
)
def test_a_start_that_takes_long_is_awaited_as_long_as_the_server_works(
    work: str, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_lab.processes.process.LONGER", 30)
    monkeypatch.setattr(starting, "WINDOW", 0.5)
    with RealServer(replace(STAND_IN, command=late(work), starts_within=1.0), quiet) as server:
        assert running(int(server.url.split(":")[2].removesuffix("/v1"))) == server.url


@pytest.mark.usefixtures("ran")
def test_a_busy_machine_is_the_reason_for_a_start_that_takes_too_long(
    quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    cores = psutil.cpu_count() or 1
    monkeypatch.setattr(starting, "_busy_seconds", lambda: (time.monotonic() - began) * cores * 0.9)
    with pytest.raises(
        RealServerError,
        match=r"; see .*\.log\. Other programs took [5-9]\d % of this machine's CPU: try again when ",
    ):
        RealServer(replace(STAND_IN, command=never_ready, starts_within=1.0), quiet)


@pytest.mark.usefixtures("ran")
def test_too_little_memory_or_a_taken_port_is_one_sentence(quiet: Console) -> None:
    with pytest.raises(
        RealServerError, match=r"needs about 1000000000 GB of free memory, and .* GB are free"
    ):
        RealServer(replace(STAND_IN, memory=1e18), quiet)
    with (
        RealServer(STAND_IN, quiet) as server,
        pytest.raises(RealServerError, match=r"Port \d+ is taken; choose another"),
    ):
        RealServer(STAND_IN, quiet, int(server.url.split(":")[2].removesuffix("/v1")))


@pytest.mark.usefixtures("ran")
def test_a_server_that_ends_by_itself_is_reported(
    monkeypatch: pytest.MonkeyPatch, quiet: Console
) -> None:
    def short(place: Place) -> list[str]:
        return [*STAND_IN.command(place), "--lifetime", "1"]

    monkeypatch.setattr(serve, "VLLM", replace(STAND_IN, command=short))
    with pytest.raises(RealServerError, match="ended by itself with status 0; its output is in"):
        serve.stay(free_port(), quiet)


def test_the_commands_name_their_port_and_only_this_machine(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "bin" / "python", 8123)
    for recipe in (
        VLLM,
        vllm_with("--api-key", "k"),
        LLAMA_CPP,
        litellm("http://127.0.0.1:1/v1", "m", timeout=2),
    ):
        command = recipe.command(place)
        assert command[command.index("--host") + 1] == "127.0.0.1"
        assert command[command.index("--port") + 1] == "8123"
    assert vllm_with("--api-key", "k").command(place)[-2:] == ["--api-key", "k"]
    assert '"timeout": 2' in (tmp_path / "config.yaml").read_text(encoding="utf-8")
