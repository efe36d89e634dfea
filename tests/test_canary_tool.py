"""`make canary` finds a key in each spelling and container, after each command."""

import base64
import gzip
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from stream_lab.cli import app

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import canary

HIDDEN = {
    "gzip": gzip.compress,
    "base64": lambda data: b"x" + base64.b64encode(data),
    "zip": lambda data: zipped(data),
    "gzip in base64": lambda data: base64.urlsafe_b64encode(gzip.compress(data)),
    "a line of text": lambda data: b"a: " + data + b"\n",
}


def zipped(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", data)
    return made.getvalue()


@pytest.mark.parametrize("spelling", canary.spelled(canary.KEY))
@pytest.mark.parametrize("key", [canary.KEY, canary.SENT])
def test_a_key_is_found_in_each_spelling_inside_of_other_bytes(spelling: str, key: str) -> None:
    form = canary.spelled(key)[spelling]
    assert spelling in canary.found_in(b"\x00abc" + form + b"xyz\xff", key)
    assert not canary.found_in(b"\x00abc" + form[:-3] + b"xyz\xff", key)


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
def test_a_key_is_found_in_each_container(hide: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "a.bin"
    file.write_bytes(hide(canary.KEY.encode()))
    assert list(canary.search([tmp_path], canary.KEY)) == [file]
    file.write_bytes(hide(b"nothing of the kind, at some length"))
    assert not canary.search([tmp_path], canary.KEY)


def test_each_command_sends_the_key_or_has_none() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    with_key = {command.words.split()[0] for command in canary.COMMANDS}
    assert with_key | set(canary.WITHOUT_KEY) == commands
    assert not with_key & set(canary.WITHOUT_KEY)


@pytest.mark.parametrize(
    ("command", "status", "stderr", "answered", "said"),
    [
        (canary.Command("doctor"), 0, b"", 3, ""),
        (canary.Command("history", calls=False), 0, b"", 0, ""),
        (canary.Command("doctor"), 1, b"", 3, "status 1"),
        (canary.Command("run", judges=True), 1, b"", 3, ""),
        (canary.Command("run", judges=True), 2, b"", 3, "status 2"),
        (canary.Command("run", judges=True), 1, b"Traceback (most recent call last):", 3, "crash"),
        (canary.Command("history", calls=False), 1, b"", 0, "status 1"),
        (canary.Command("doctor"), 0, b"", 0, "no request with the key was answered"),
    ],
)
def test_a_command_that_fails_or_does_not_send_its_key_shows_nothing(
    command: canary.Command, status: int, stderr: bytes, answered: int, said: str
) -> None:
    fault = canary.wrong(command, subprocess.CompletedProcess([], status, b"", stderr), answered)
    assert said in fault
    assert bool(fault) is bool(said)
