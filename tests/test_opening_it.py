"""The ways to open the project elsewhere name files, stages and packages that exist."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def read(name: str) -> Any:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", [".devcontainer/devcontainer.json", ".vscode/settings.json", ".vscode/extensions.json"]
)
def test_a_settings_file_is_json_without_comments(name: str) -> None:
    assert isinstance(read(name), dict)


def test_the_dev_container_is_a_stage_of_the_dockerfile_with_its_user() -> None:
    container = read(".devcontainer/devcontainer.json")
    dockerfile = ROOT / ".devcontainer" / container["build"]["dockerfile"]
    text = dockerfile.read_text(encoding="utf-8")
    assert f" AS {container['build']['target']}\n" in text
    assert re.search(rf"useradd .*\b{container['remoteUser']}\n", text)


def test_the_editor_and_the_dev_container_have_the_same_extensions() -> None:
    container = read(".devcontainer/devcontainer.json")["customizations"]["vscode"]["extensions"]
    assert container == read(".vscode/extensions.json")["recommendations"]


def test_binder_installs_what_make_setup_installs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [ours] = re.findall(r"^OURS +:= (.+)$", makefile, re.M)
    lines = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").split("\n")
    assert lines == [
        "-r ../requirements/latest.txt",
        *(f"-e ./{each}" for each in ours.split()),
        "",
    ]
    assert (ROOT / ".binder" / lines[0].removeprefix("-r ")).is_file()


def test_the_images_have_the_programs_of_make_parts() -> None:
    parts = set(
        re.findall(r"missing\+=\(([\w-]+)\)", (ROOT / "tools/install_parts.sh").read_text())
    )
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [installed] = re.findall(r"--no-install-recommends (.+) \\", dockerfile)
    assert parts <= set(installed.split())
    # Binder's images are Ubuntu's, which has Chromium as a snap only.
    binder = (ROOT / ".binder" / "apt.txt").read_text(encoding="utf-8").split()
    assert set(binder) == parts - {"chromium"}


@pytest.mark.parametrize("file", [".binder/postBuild", "Dockerfile"])
def test_the_course_is_laid_out_by_its_tool(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    [tool] = re.findall(r"python (tools/\w+\.py) --no-lab", text)
    assert "--no-lab" in (ROOT / tool).read_text(encoding="utf-8")


def test_binders_last_step_can_be_run() -> None:
    assert os.access(ROOT / ".binder" / "postBuild", os.X_OK)
