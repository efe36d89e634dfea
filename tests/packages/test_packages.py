"""Each distribution works alone from its wheel, and has no files of the others."""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_deadline import __version__
from tests.packages.conftest import ROOT, Installed

FOLDERS = {
    "stream-deadline": "src/stream_deadline",
    "fake-vllm": "fake_vllm",
    "stream-lab": "src/stream_lab",
}
FOREIGN = {
    "stream-deadline": {"fake-vllm", "stream-lab", "jupyterlab", "matplotlib", "typer", "uvloop"},
    "fake-vllm": {"stream-deadline", "stream-lab", "langchain-core", "openai", "jupyterlab"},
    "stream-lab": {"jupyterlab", "matplotlib", "papermill", "fastapi", "gunicorn", "playwright"},
}
USES = {
    "stream-deadline": """
from collections.abc import AsyncIterator

from stream_deadline import ChatVllm, StreamDeadlineExceeded, bounded, bounded_sync, deadline
from stream_deadline.asgi import App, DeadlineMiddleware


def model() -> ChatVllm:
    return ChatVllm(model="m", base_url="http://127.0.0.1:1/v1", timeout=45, idle_timeout=5)


async def lines(source: AsyncIterator[str]) -> list[str]:
    try:
        with deadline(30):
            return [line async for line in bounded(source, 10)]
    except StreamDeadlineExceeded as error:
        print(error.bound, error.elapsed + 1.0)
        return []


def application(app: App) -> DeadlineMiddleware:
    return DeadlineMiddleware(app, default_timeout=30)


def numbers() -> int:
    return sum(number for number in bounded_sync(iter([1, 2]), 10))
""",
    "fake-vllm": """
from fake_vllm.testing import FakeVllm


def freed() -> float | None:
    with FakeVllm("endless", gap_ms=5) as fake:
        fake.play("finite")
        entry = fake.until_freed(1.0)
        return entry.slot_freed
""",
    "stream-lab": """
from stream_lab import Endpoint, open_endpoint


def name(url: str) -> str:
    with open_endpoint(url, None) as endpoint:
        server: Endpoint = endpoint
        return server.model
""",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_wheel_and_sdist_have_every_file_of_the_package(name: str, dist: Path) -> None:
    folder = ROOT / FOLDERS[name]
    package = folder.name
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "."],
        cwd=folder, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    # A link of the checkout stands for the files behind it.
    files = {
        path.relative_to(folder).as_posix()
        for path in (folder / entry for entry in tracked)
        for path in (path.rglob("*") if path.is_dir() else [path])
        if path.is_file() and not re.search(r"__pycache__|\.\w+_cache", str(path))
    }
    only_source = {"Dockerfile", "LICENSE", "README.md", "pyproject.toml"}
    [wheel] = dist.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {each for each in archive.namelist() if ".dist-info/" not in each}
    assert packed == {f"{package}/{each}" for each in files - only_source}
    [sdist] = dist.glob(f"{package}-*.tar.gz")
    with tarfile.open(sdist) as source:
        unpacked = {member.name.partition("/")[2] for member in source.getmembers()}
    assert unpacked == files | {"PKG-INFO", ".gitignore"}


@pytest.mark.parametrize("name", FOLDERS)
def test_it_can_be_imported_alone_and_has_its_version(
    name: str, installed: Callable[[str], Installed]
) -> None:
    package = FOLDERS[name].rpartition("/")[2]
    done = installed(name).run("python", "-c", f"import {package}; print({package}.__version__)")
    assert done.stdout == f"{__version__}\n", done.stderr


@pytest.mark.parametrize("name", FOLDERS)
def test_no_other_distribution_is_installed_with_it(
    name: str, installed: Callable[[str], Installed]
) -> None:
    assert not FOREIGN[name] & installed(name).packages()


@pytest.mark.parametrize("name", ["fake-vllm", "stream-lab"])
def test_its_command_runs_in_both_ways(name: str, installed: Callable[[str], Installed]) -> None:
    environment = installed(name)
    by_name = environment.run(name, "--version")
    as_module = environment.run("python", "-m", name.replace("-", "_"), "--version")
    assert by_name.stdout == as_module.stdout == f"{name} {__version__}\n", by_name.stderr


@pytest.mark.parametrize("name", FOLDERS)
def test_a_users_file_passes_mypy_strict_and_pyright(
    name: str, installed: Callable[[str], Installed], tmp_path: Path
) -> None:
    python = str(installed(name).bin / "python")
    file = tmp_path / "users.py"
    file.write_text(USES[name], encoding="utf-8")
    mypy = [str(Path(sys.executable).with_name("mypy")), "--strict", "--config-file", ""]
    pyright = [str(ROOT / ".venv-packages" / "bin" / "basedpyright")]
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    for command in (
        [*mypy, "--python-executable", python, file.name],
        [*pyright, "--pythonpath", python, file.name],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_fake_serves_and_its_pytest_fixture_works(
    installed: Callable[[str], Installed], tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import urllib.request\n\nimport pytest\n\n\n"
        '@pytest.mark.fake_vllm("finite:tokens=3")\n'
        "def test_it(fake_vllm):\n"
        '    url = fake_vllm.base_url + "/models"\n'
        "    assert b'fake-model' in urllib.request.urlopen(url).read()\n",
        encoding="utf-8",
    )
    done = installed("fake-vllm pytest").run("python", "-m", "pytest", "-q", cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("run", "lab"),
        ("matrix", "lab"),
        ("regress", "lab"),
        ("history", "lab"),
        ("evidence", "lab"),
        ("doctor http://127.0.0.1:9/", "doctor"),
    ],
)
def test_without_its_extra_a_command_says_how_to_install_it(
    command: str, extra: str, installed: Callable[[str], Installed]
) -> None:
    done = installed("stream-lab").run("stream-lab", *command.split())
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(f"pip install 'stream-lab[{extra}]'."), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_light_doctor_examines_a_server_and_reads_code(
    installed: Callable[[str], Installed], tmp_path: Path
) -> None:
    environment = installed("stream-lab[doctor]")
    assert not {"jupyterlab", "matplotlib", "papermill"} & environment.packages()
    refused = environment.run("stream-lab", "doctor", "http://127.0.0.1:9/chat", "--watch", "1")
    assert refused.returncode == 2
    assert "Connection refused" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    (tmp_path / "app.py").write_text("import asyncio\n", encoding="utf-8")
    code = environment.run("stream-lab", "doctor", "--code", str(tmp_path))
    assert (code.returncode, code.stderr) == (0, "")


def test_the_relays_template_is_in_the_wheel(
    installed: Callable[[str], Installed], tmp_path: Path
) -> None:
    done = installed("stream-lab").run("stream-lab", "new-relay", str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine" / "relay" / "app.py").is_file()


@pytest.mark.parametrize(
    "file", ["Dockerfile", "fake_vllm/Dockerfile", "templates/relay/deploy/Dockerfile"]
)
def test_a_dockerfile_has_no_fault_that_a_linter_knows(file: str) -> None:
    hadolint = ROOT / ".venv-packages" / "bin" / "hadolint"
    done = subprocess.run([hadolint, ROOT / file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        "zizmor --offline --no-progress --config .github/zizmor.yml .github/workflows",
        "bandit --quiet --recursive --severity-level high src fake_vllm templates --exclude src/stream_lab/_templates",
    ],
    ids=["workflows", "code"],
)
def test_a_linter_of_security_finds_nothing(command: str) -> None:
    program, *words = command.split()
    line = [str(ROOT / ".venv-packages" / "bin" / program), *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
