"""The rules of the project hold: pins agree, no registry is named, public commands exist."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = ("src/stream_deadline", "fake_vllm", "src/stream_lab")
NAMED = ("jupyterlab", "langchain-openai", "matplotlib", "nest-asyncio", "papermill", "nbval")


def pins(path: Path) -> dict[str, str]:
    """Package to version, of a lock or a list of pins."""
    return dict(
        re.findall(r"^([a-z0-9][\w.-]*)==([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


def described(folder: str) -> dict[str, Any]:
    """What a distribution's pyproject.toml says of the project."""
    text = (ROOT / folder / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


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
    assert [f"-e {folder}" for folder in DISTRIBUTIONS] == [x for x in lines if x.startswith("-e")]
    assert "nginx" in environment["dependencies"]
    stated = dict(line.split("==") for line in lines if "==" in line)
    assert set(stated) == set(NAMED)
    assert {name: pins(ROOT / "requirements" / "latest.txt")[name] for name in NAMED} == stated


def test_the_seed_world_is_that_of_the_post_mortem() -> None:
    seed = pins(ROOT / "requirements" / "seed.txt")
    assert (seed["langchain"], seed["langchain-openai"]) == ("1.0.8", "0.3.34")
    wanted = pins(ROOT / "requirements" / "seed.in")
    assert {name: seed[name] for name in wanted} == wanted


@pytest.mark.parametrize("world", ["latest", "seed", "next"])
def test_every_package_the_project_names_is_in_the_lock(world: str) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    stated = [item for item in groups["dependency-groups"]["dev"] if isinstance(item, str)]
    for folder in DISTRIBUTIONS:
        project = described(folder)
        stated += project["dependencies"]
        for extra in project.get("optional-dependencies", {}).values():
            stated += extra
    names = {re.split(r"[<>=;\[ ]", item)[0] for item in stated}
    ours = {described(folder)["name"] for folder in DISTRIBUTIONS}
    assert names - ours <= set(pins(ROOT / "requirements" / f"{world}.txt"))


def test_the_three_distributions_have_one_version_and_one_licence() -> None:
    versions = {
        re.search(r'^__version__ = "(.+)"$', (ROOT / folder / "__init__.py").read_text(), re.M)[1]  # type: ignore[index]
        for folder in DISTRIBUTIONS
    }
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert versions == {citation["version"]}
    major, minor, _ = versions.pop().split(".")
    pinned = f">={major}.{minor},<{major}.{int(minor) + 1}"
    lab = described("src/stream_lab")["dependencies"]
    assert {f"stream-deadline{pinned}", f"fake-vllm{pinned}"} <= set(lab)
    for folder in DISTRIBUTIONS:
        assert (ROOT / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


# Modules whose distribution has another name, or that a distribution brings with it on purpose.
BROUGHT_BY = {
    "IPython": "ipython",
    "yaml": "pyyaml",
    "playwright": "playwright",
    "prometheus_client": "prometheus-client",
    "typing_extensions": "typing-extensions",
    "sse_starlette": "sse-starlette",
    "stream_deadline": "stream-deadline",
    "fake_vllm": "fake-vllm",
    "langchain_core": "langchain-core",
    "langchain_openai": "langchain-openai",
    "opentelemetry": "opentelemetry-api",
}
# Imported in a process that has them: those of the backends' own environments, and pytest by its plugin.
ELSEWHERE = {"gguf", "pytest", "tokenizers", "torch", "transformers"}
# Its programs run only in environments that the registry of frameworks describes.
PLAYERS = ROOT / "src" / "stream_lab" / "frameworks" / "players"


@pytest.mark.parametrize("folder", DISTRIBUTIONS)
def test_every_direct_import_is_declared(folder: str) -> None:
    project = described(folder)
    declared = {
        re.split(r"[<>=;\[ ]", item)[0]
        for items in (
            project["dependencies"],
            *project.get("optional-dependencies", {}).values(),
        )
        for item in items
    }
    imported = {
        name.partition(".")[0]
        for path in (ROOT / folder).rglob("*.py")
        if PLAYERS not in path.parents
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    foreign = imported - set(sys.stdlib_module_names) - ELSEWHERE - {Path(folder).name}
    assert {BROUGHT_BY.get(name, name) for name in foreign} <= declared


def test_no_file_names_a_package_registry_or_a_path_of_this_machine() -> None:
    registry = re.compile(
        rb"pypi\.org|pythonhosted\.org|registry\.npmjs|/simple/|index-url|find-links", re.IGNORECASE
    )
    for path in tracked():
        if path in (ROOT / "Makefile", Path(__file__)) or path.suffix == ".png":
            continue  # the Makefile switches these lines off by name
        assert not registry.search(path.read_bytes()), path


def test_no_lock_has_addresses() -> None:
    assert not [
        path for path in tracked() if path.name in ("uv.lock", "package-lock.json", "poetry.lock")
    ]


def test_the_public_targets_and_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"setup", "run", "test", "lab", "real-vllm"} <= targets
    scripts = [name for folder in DISTRIBUTIONS for name in described(folder).get("scripts", {})]
    assert scripts == ["fake-vllm", "stream-lab"]


def test_an_unknown_world_and_an_old_python_are_one_clear_sentence(tmp_path: Path) -> None:
    world = subprocess.run(
        ["make", "setup", "WORLD=nowhere"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert world.returncode != 0
    assert "There are: latest next seed" in world.stderr
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


def test_an_environment_of_another_python_is_one_clear_sentence(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\n[ $# -gt 2 ] && exit 1\nexit 0\n")  # new enough, and another
    other.chmod(0o755)
    done = subprocess.run(
        ["make", "setup", f"PYTHON={other}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "is another version than the one in .venv; run make clean first" in done.stderr


@pytest.mark.parametrize("name", ["BASE_URL", "MODEL", "TIMEOUT", "RUNS"])
def test_a_setting_of_the_reader_reaches_the_command_unchanged(name: str, tmp_path: Path) -> None:
    odd = "a 'b' \"c\" $(touch here) `touch there` $HOME; touch elsewhere"
    make = ["make", "--no-print-directory", "run", "PARTS=no", f"{name}={odd}", f"BIN={tmp_path}"]
    shown = tmp_path / "stream-lab"
    shown.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    shown.chmod(0o755)
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    flag = f"--{name.lower().replace('_', '-')}"
    assert done.stdout.splitlines() == ["run", flag, odd], done.stderr
    assert not [path for path in ("here", "there", "elsewhere") if (ROOT / path).exists()]


def test_ci_runs_make_test() -> None:
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
def test_an_import_against_the_layers_is_reported(copy: Path, file: str, arrow: str) -> None:
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


def test_a_room_that_the_layers_do_not_have_is_reported(copy: Path) -> None:
    room = copy / "src" / "stream_lab" / "attic.py"
    room.write_text("", encoding="utf-8")
    try:
        done = arrows(copy)
    finally:
        room.unlink()
    assert done.returncode == 1
    assert "attic" in done.stdout


def test_the_tree_itself_has_no_such_import(copy: Path) -> None:
    done = arrows(copy)
    assert done.returncode == 0, done.stdout + done.stderr
