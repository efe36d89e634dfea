"""The laboratory from its wheel: every module can be imported, and the commands work."""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import stream_lab

ELSEWHERE = ("frameworks.players", "processes.backends.random_", "processes.backends.torch_serving")
"""Modules that run in environments of their own."""


def modules() -> list[str]:
    found = pkgutil.walk_packages(stream_lab.__path__, "stream_lab.")
    return [
        each.name
        for each in found
        if not each.name.startswith(tuple(f"stream_lab.{name}" for name in ELSEWHERE))
        and not each.name.endswith("__main__")
        and "_templates" not in each.name
    ]


def test_every_module_can_be_imported() -> None:
    for name in modules():
        importlib.import_module(name)


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "stream_lab", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("name", ["run", "regress", "doctor", "matrix", "lint", "evidence"])
def test_a_command_prints_its_help(name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_the_doctor_examines_a_server(babbling: str) -> None:
    body = {
        "model": "fake-model",
        "stream": True,
        "messages": [{"role": "user", "content": "Why?"}],
    }
    url = f"{babbling}/chat/completions"
    done = command("doctor", url, "--post", json.dumps(body), "--watch", "1", "--json")
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout)


def test_lint_finds_a_trap(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import asyncio\nfrom langchain_openai import ChatOpenAI\n\n\n"
        "async def answer(question: str) -> str:\n"
        "    return ChatOpenAI(timeout=45).invoke(question).text\n",
        encoding="utf-8",
    )
    done = command("lint", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
