"""`stream-lab new-relay` writes a project that works in a folder of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stream_lab.relay.new import NewRelayError, template, write

ROOT = Path(__file__).parents[3]


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "stream_lab", "new-relay", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def tracked() -> dict[Path, bytes]:
    """The template's files, as git knows them."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=template(),
        capture_output=True,
        text=True,
        check=True,
    )
    return {Path(name): (template() / name).read_bytes() for name in listed.stdout.splitlines()}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the command has written."""
    folder = tmp_path_factory.mktemp("new") / "my relay"
    done = command(str(folder))
    assert done.returncode == 0, done.stderr
    first, *then = done.stdout.splitlines()
    assert re.match(rf"\d+ files in {re.escape(str(folder))}; ", first)
    assert then == [
        f"  cd '{folder}' && {sys.executable} -m pytest",
        f"  BASE_URL=http://gpu:8000/v1 MODEL=my-model {sys.executable} -m relay",
    ]
    return folder


def test_it_writes_the_files_of_the_template_and_nothing_else(relay: Path) -> None:
    assert {
        path.relative_to(relay): path.read_bytes() for path in relay.rglob("*") if path.is_file()
    } == tracked()


@pytest.mark.timeout(300)
def test_the_tests_of_the_project_pass_there(relay: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "fake_vllm.pytest_plugin",
            "--durations=12",
        ],
        cwd=relay,
        # Only what its requirements bring, and not every plugin that happens to be installed here.
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"rootdir: {relay}" in done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 50
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all("nginx is not installed" in line for line in skipped), skipped


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    done = command(str(tmp_path))
    assert done.returncode == 2
    assert (
        done.stderr
        == f"stream-lab: {tmp_path} is not empty; name an empty folder, or one that does not exist yet.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_path_that_cannot_be_a_folder_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    done = command(str(tmp_path / name))
    assert done.returncode == 2
    assert re.fullmatch(r"stream-lab: .* cannot be written: \w[\w ]*\.\n", done.stderr)


def test_a_folder_without_permission_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise shutil.Error([("from", "to", "[Errno 13] Permission denied")])

    monkeypatch.setattr(shutil, "copytree", refuse)
    with pytest.raises(NewRelayError, match=r"cannot be written: .*Permission denied"):
        write(tmp_path)


def test_an_empty_folder_is_accepted_and_caches_of_the_template_are_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = tmp_path / "template", tmp_path / "empty"
    folder.mkdir()
    for name in (
        "relay/app.py",
        "relay/__pycache__/app.cpython-311.pyc",
        ".pytest_cache/README.md",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    monkeypatch.setattr("stream_lab.relay.new.template", lambda: source)
    assert write(folder) == [Path("relay/app.py")]


def test_its_requirements_are_those_of_the_project() -> None:
    folders = ("src/stream_deadline", "fake_vllm", "src/stream_lab")
    stated = "".join((ROOT / each / "pyproject.toml").read_text("utf-8") for each in folders)
    for line in (template() / "requirements.txt").read_text(encoding="utf-8").splitlines():
        name = re.match(r"[\w-]+", line)
        assert name is None or f'"{name[0]}' in stated, line
