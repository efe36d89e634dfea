"""Test each distribution on each Python, with its oldest and newest dependencies.

Each is alone, except where a test of the library asks a real server: that is the fake.

`matrix.toml` names the tests. They run from a copy, so that they find the installed packages and
never the checkout's.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from build_packages import build, epoch

from release import pythons
from release.checks import NOT_HERE, Check, checked
from release.distributions import (
    DISTRIBUTIONS,
    ROOT,
    described,
    environment,
    uv,
)
from release.rebuild import copy_tree

RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
LIMIT = 300.0
"""Seconds for the tests of one row; they take 10 to 100."""
INSTALLING = 540.0
"""Seconds to install one row's packages."""


@dataclass(frozen=True)
class Selection:
    """The tests of a distribution that need nothing else of the project.

    Attributes:
        distribution: its name.
        tests: files and folders below `tests/`.
        needs: packages of the group `dev` that they import.
        plugins: modules with fixtures, as pytest's `-p` takes them.
        beside: the names of other distributions of the project that the tests need after all.
    """

    distribution: str
    tests: tuple[str, ...]
    needs: tuple[str, ...]
    plugins: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def selections() -> dict[str, Selection]:
    """Read `matrix.toml`: its tables by their names."""
    text = (Path(__file__).parent / "matrix.toml").read_text(encoding="utf-8")
    return {
        name: Selection(
            each.pop("distribution", name), **{key: tuple(words) for key, words in each.items()}
        )
        for name, each in tomllib.loads(text).items()
    }


def test_requirements(selection: Selection) -> list[str]:
    """Return the requirements of a selection with the bounds that the project states for them."""
    known = stated()
    return [
        next(each for each in known if each.partition(">")[0] == name) for name in selection.needs
    ]


def stated() -> list[str]:
    """Return the requirements of the group `dev` and of the laboratory's extra `lab`."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    return [
        *(each for each in groups["dev"] if isinstance(each, str)),
        *described(DISTRIBUTIONS[-1])["optional-dependencies"]["lab"],
    ]


def install_matrix(dist: Path, logs: Path, versions: list[str]) -> list[Check]:
    """Try each distribution on each Python with each resolution.

    Args:
        dist: the folder with the wheels.
        logs: a folder for the log and the list of packages of each row.
        versions: Pythons such as `3.13`; one that is not supported yet is tried all the same.
    """
    logs.mkdir(parents=True, exist_ok=True)
    checks = []
    with TemporaryDirectory() as folder:
        built = Built(ROOT, dist)
        if set(versions) - set(pythons.supported()):
            built = _for_any_python(Path(folder))
        for version in versions:
            python = pythons.find(version)
            for name, selection in selections().items():
                for age in RESOLUTIONS:
                    subject = f"{name} {version} {age}"
                    with checked("tests", subject) as check:
                        if python is None:
                            check.result, check.text = NOT_HERE, f"no Python {version}"
                        else:
                            log = logs / f"{subject.replace(' ', '-')}.txt"
                            _row(check, selection, python, age, built, log)
                    checks.append(check)
    return checks


@dataclass(frozen=True)
class Built:
    """Wheels, and the tree whose pyproject.toml files state what they need."""

    tree: Path
    dist: Path


def _for_any_python(folder: Path) -> Built:
    """Build from a copy that forbids no newer Python, to try the next one."""
    tree, dist = folder / "tree", folder / "dist"
    copy_tree(tree)
    for each in DISTRIBUTIONS:
        file = tree / each.folder / "pyproject.toml"
        text = re.sub(r'(requires-python = ">=[\d.]+),<[\d.]+"', r'\1"', file.read_text("utf-8"))
        file.write_text(text, encoding="utf-8")
    if error := build(tree, dist, seconds=epoch()):
        raise RuntimeError(error)
    return Built(tree, dist)


@contextmanager
def _babbling() -> Iterator[str]:
    from fake_vllm.testing import FakeVllm

    with FakeVllm("endless", gap=0.02) as fake:
        yield fake.base_url


def _row(
    check: Check,
    selection: Selection,
    python: str,
    age: str,
    built: Built,
    log: Path,
) -> None:
    with TemporaryDirectory() as folder:
        place = Path(folder)
        own = place / "env" / "bin" / "python"
        try:
            error = _install(place / "env", selection, python, age, built)
            if error:
                log.write_text(error, encoding="utf-8")
                check.fail(f"not installed: {error.strip().splitlines()[0]} (all of it: {log})")
                return
            _copy_tests(place / "copy")
            with _babbling() as url:  # one for each row, since a fake ends after 15 minutes
                done = _test(own, place, selection, url)
        except subprocess.TimeoutExpired as late:
            log.write_bytes(bytes(late.stdout or b""))
            check.fail(f"not ready after {late.timeout:.0f} s: {log}")
            return
        listed = uv("pip", "list", "--format", "json", "--python", str(own)).stdout
        found = {each["name"]: each["version"] for each in json.loads(listed or "[]")}
        versions = "".join(f"{name}=={found[name]}\n" for name in sorted(found))
        log.write_text(f"{done.stdout}{done.stderr}\n{versions}", encoding="utf-8")
        counts = _counts(place / "results.xml")
        check.text = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        if done.returncode or not counts.get("passed"):
            check.fail(f"{check.text or 'no test ran'}: {log}")


def _install(env: Path, selection: Selection, python: str, age: str, built: Built) -> str:
    """Make the environment; return the error's text, or nothing."""
    by_name = {each.name: each for each in DISTRIBUTIONS}
    distribution = by_name[selection.distribution]
    wheels = [
        str(each.wheel(built.dist))
        for each in (distribution, *(by_name[name] for name in selection.beside))
    ]
    made = uv("venv", "--python", python, str(env))
    if made.returncode:
        return made.stderr
    own = [word for each in DISTRIBUTIONS for word in ("--refresh-package", each.name)]
    # A user without a compiler has wheels only, so the oldest versions are those with a wheel.
    words = ["pip", "install", "--no-build", "--resolution", RESOLUTIONS[age], *own]
    words += ["--python", str(env / "bin" / "python"), "--all-extras"]
    words += ["-r", str(built.tree / distribution.folder / "pyproject.toml")]
    words += [*wheels, *test_requirements(selection)]
    done = uv(*words, UV_FIND_LINKS=str(built.dist), timeout=INSTALLING)
    return done.stderr if done.returncode else ""


def _copy_tests(folder: Path) -> None:
    """Copy the tests without the fixtures of the whole project, which import all three packages."""
    for name in ("stream_deadline", "fake_vllm", "stream_lab", "alone"):
        shutil.copytree(
            ROOT / "tests" / name,
            folder / "tests" / name,
            ignore=shutil.ignore_patterns(
                "__pycache__", *(() if name != "stream_deadline" else ["conftest.py"])
            ),
        )
    (folder / "tests" / "__init__.py").touch()
    for helper in (ROOT / "tests").glob("[a-z]*.py"):
        if not helper.name.startswith(("test_", "conftest")):
            shutil.copy(helper, folder / "tests" / helper.name)


def _test(
    python: Path, place: Path, selection: Selection, url: str
) -> "subprocess.CompletedProcess[str]":
    words = ["-q", "-ra", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"]
    words += ["--hypothesis-profile", "ci"] if "hypothesis" in selection.needs else []
    words += ["-o", "asyncio_mode=auto"] if "pytest-asyncio" in selection.needs else []
    words += ["--junitxml", str(place / "results.xml")]
    for plugin in selection.plugins:
        words += ["-p", plugin]
    return subprocess.run(
        [str(python), "-m", "pytest", *words, *(f"tests/{each}" for each in selection.tests)],
        cwd=place / "copy",
        env=environment(BABBLING_URL=url, PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def _counts(results: Path) -> dict[str, int]:
    """Return how many tests passed, failed and were skipped, from pytest's own file."""
    if not results.exists():
        return {}
    suite: Any = ElementTree.parse(results).getroot().find("testsuite")
    counted = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    bad = counted["failures"] + counted["errors"]
    passed = counted["tests"] - bad - counted["skipped"]
    return {"passed": passed, "failed": bad, "skipped": counted["skipped"]}
