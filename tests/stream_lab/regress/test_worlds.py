"""Worlds: made once by uv, named by their content, and checked."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stream_lab.regress.config import WorldSpec
from stream_lab.regress.worlds import World, WorldError, _find_uv, _of_pyenv

PIN = "ipykernel==7.4.0\n"


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put worlds into the test's folder, and leave uv's cache where it is."""
    if "UV_CACHE_DIR" not in os.environ:
        found = subprocess.run(
            [_find_uv(), "cache", "dir"], capture_output=True, text=True, check=True
        ).stdout.strip()
        monkeypatch.setenv("UV_CACHE_DIR", found)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def python_of_another_version() -> str:
    """Return the version of another Python on this machine."""
    for minor in ("3.12", "3.13", "3.11"):
        if minor != f"{sys.version_info.major}.{sys.version_info.minor}":
            wanted = _of_pyenv(minor) or minor
            told = subprocess.run(
                [_find_uv(), "python", "find", "--no-python-downloads", wanted],
                capture_output=True,
                check=False,
            )
            if told.returncode == 0:
                return minor
    pytest.skip("there is no second Python on this machine")


def test_a_world_has_its_python_its_packages_and_a_kernel_of_its_own() -> None:
    wanted = python_of_another_version()
    made = World("other", wanted, "ipykernel==6.31.0\n").environment()
    assert made.versions["python"].startswith(f"{wanted}.")
    assert made.versions["ipykernel"] == "6.31.0"
    spec = json.loads(
        (Path(made.jupyter) / "kernels" / made.kernel / "kernel.json").read_text(encoding="utf-8")
    )
    assert spec["argv"][0] == made.python
    told = subprocess.run(
        [made.python, "-c", "import ipykernel; print(ipykernel.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "6.31.0"


def test_the_same_content_is_made_once_under_any_name_and_by_any_number_of_threads() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda name: World(name, version, PIN).environment(), ["a", "b", "c"]))
    assert len({entry.python for entry in made}) == 1
    born = Path(made[0].python).lstat().st_mtime_ns
    assert World("d", version, PIN).environment() == made[0]
    assert Path(made[0].python).lstat().st_mtime_ns == born


def test_a_world_whose_python_has_gone_is_made_again() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = World("a", version, PIN).environment()
    Path(made.python).unlink()
    again = World("a", version, PIN).environment()
    assert again == made
    assert Path(again.python).exists()


def test_a_world_that_was_moved_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    World("a", version, PIN).environment()
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    again = World("a", version, PIN).environment()
    assert again.python.startswith(str(tmp_path / "elsewhere"))
    assert Path(again.python).exists()


def test_other_content_is_another_world(tmp_path: Path) -> None:
    wheel = tmp_path / "x-1-py3-none-any.whl"
    wheel.write_bytes(b"one")
    worlds = [
        World("w", "3.12", PIN),
        World("w", "3.13", PIN),
        World("w", "3.12", "ipykernel==6.31.0\n"),
        World("w", "3.12", PIN, (str(wheel),)),
    ]
    assert len({world.digest for world in worlds}) == 4
    before = worlds[3].digest
    wheel.write_bytes(b"two")
    assert worlds[3].digest != before, "a wheel is its content, not its name"


def test_unpinned_packages_are_resolved_anew_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned, loose = World("w", "3.12", PIN), World("w", "3.12", PIN, ("langchain-openai",))
    before = (pinned.digest, loose.digest)

    class Tomorrow:
        @staticmethod
        def today() -> "Tomorrow":
            return Tomorrow()

        def isoformat(self) -> str:
            return "2100-01-01"

    monkeypatch.setattr("stream_lab.regress.worlds.date", Tomorrow)
    assert pinned.digest == before[0]
    assert loose.digest != before[1]


@pytest.mark.parametrize(
    ("world", "why"),
    [
        (World("bad", None, "no-such-package-of-the-kit==9.9\n"), "no-such-package-of-the-kit"),
        (World("bad", "3.2", PIN), "3.2"),
        (World("bad", None, PIN, ("ipykernel==0.0.0",)), "ipykernel==0.0.0"),
    ],
)
def test_a_world_that_does_not_resolve_is_an_error_in_uvs_words_and_leaves_nothing(
    world: World, why: str, tmp_path: Path
) -> None:
    world = World(
        world.name,
        world.python or f"{sys.version_info.major}.{sys.version_info.minor}",
        world.requirements,
        world.on_top,
    )
    with pytest.raises(WorldError, match=f"the world 'bad' cannot be made: .*{why}"):
        world.environment()
    assert [
        path
        for path in (tmp_path / "cache" / "stream-deadline" / "worlds").iterdir()
        if path.is_dir()
    ] == []


def test_without_uv_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(WorldError, match="pip install uv"):
        World("w", "3.12", PIN).environment()


def test_a_missing_file_of_requirements_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"the world 'w': none\.txt cannot be read: No such file"):
        World.of("w", WorldSpec(requirements="none.txt"), tmp_path)


def test_a_world_without_fields_is_this_environment() -> None:
    made = World.of("here", WorldSpec(), Path()).environment()
    assert made.python == sys.executable
    assert made.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "langchain-openai" in made.versions
