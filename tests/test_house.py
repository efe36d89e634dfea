"""The house keeps its promises: pins agree, no registry is named, names that others rely on are there."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NAMED = ("jupyterlab", "langchain-openai", "matplotlib", "nest-asyncio", "papermill", "nbval")


def pins(path: Path) -> dict[str, str]:
    """Package to version, of a lock or a list of pins."""
    return dict(
        re.findall(r"^([a-z0-9][\w.-]*)==([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


def tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in names.stdout.split("\n") if name and (ROOT / name).is_file()]


def test_the_conda_environment_has_the_pins_of_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    lines = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert "-r requirements/latest.txt" in lines
    assert "--no-deps -e ." not in lines
    stated = dict(line.split("==") for line in lines if "==" in line)
    assert set(stated) == set(NAMED)
    assert {name: pins(ROOT / "requirements" / "latest.txt")[name] for name in NAMED} == stated


def test_the_seed_world_is_that_of_the_post_mortem() -> None:
    seed = pins(ROOT / "requirements" / "seed.txt")
    assert (seed["langchain"], seed["langchain-openai"]) == ("1.0.8", "0.3.34")
    wanted = pins(ROOT / "requirements" / "seed.in")
    assert {name: seed[name] for name in wanted} == wanted


@pytest.mark.parametrize("world", ["latest", "seed"])
def test_every_package_the_project_names_is_in_the_lock(world: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[<>=;\[ ]", item)[0] for item in stated} - {"stream-deadline"}
    assert names <= set(pins(ROOT / "requirements" / f"{world}.txt"))


def test_no_file_names_a_package_registry_or_a_path_of_this_machine() -> None:
    registry = re.compile(
        rb"pypi\.org|pythonhosted\.org|registry\.npmjs|/simple/|index-url|find-links", re.IGNORECASE
    )
    for path in tracked():
        if path in (ROOT / "Makefile", Path(__file__)) or path.suffix == ".png":
            continue  # the Makefile switches these lines off by name
        assert not registry.search(path.read_bytes()), path


def test_no_lock_with_addresses() -> None:
    assert not [
        path for path in tracked() if path.name in ("uv.lock", "package-lock.json", "poetry.lock")
    ]


def test_the_targets_and_commands_that_others_rely_on_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"setup", "run", "test", "lab", "real-vllm"} <= targets
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "scripts"
    ]
    assert set(scripts) == {"fake-vllm", "stream-lab"}


def test_an_unknown_world_and_an_old_python_are_one_clear_sentence(tmp_path: Path) -> None:
    world = subprocess.run(
        ["make", "setup", "WORLD=nowhere"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert world.returncode != 0
    assert "There are: latest seed" in world.stderr
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "-W", "pyproject.toml", "setup", f"PYTHON={old}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr


def test_ci_runs_what_a_reader_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script


def arrows(tree: Path) -> "subprocess.CompletedProcess[str]":
    """What import-linter says about a copy of the packages."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    path = f"{tree / 'src'}{os.pathsep}{tree}"
    return subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("house")
    (tree / "src").mkdir()
    for package in ("src/stream_deadline", "src/stream_lab", "fake_vllm"):
        shutil.copytree(
            ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


@pytest.mark.parametrize(
    ("file", "arrow"),
    [
        ("doctor/facts.py", "stream_lab.matrix.calls"),
        ("lint/finding.py", "stream_lab.doctor.facts"),
        ("experiment/wait.py", "stream_lab.regress.compare"),
        ("http/client.py", "stream_lab.experiment.wait"),
        ("plots/__init__.py", "stream_lab.processes.ports"),
    ],
)
def test_an_arrow_against_the_floor_plan_is_caught(copy: Path, file: str, arrow: str) -> None:
    planted = copy / "src" / "stream_lab" / file
    before = planted.read_text(encoding="utf-8")
    planted.write_text(f"{before}\nimport {arrow}\n", encoding="utf-8")
    try:
        done = arrows(copy)
    finally:
        planted.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "rooms are floors, and its tools never import each other BROKEN" in done.stdout
    assert arrow in done.stdout


def test_a_room_that_the_floor_plan_does_not_have_is_caught(copy: Path) -> None:
    room = copy / "src" / "stream_lab" / "attic.py"
    room.write_text("", encoding="utf-8")
    try:
        done = arrows(copy)
    finally:
        room.unlink()
    assert done.returncode == 1
    assert "attic" in done.stdout


def test_the_tree_itself_has_no_such_arrow(copy: Path) -> None:
    done = arrows(copy)
    assert done.returncode == 0, done.stdout + done.stderr
