"""Options mean the same on every command, and each help explains the exit status."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.cli.common import UsageError
from stream_lab.cli.options import OLD, select

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
PRINTING = ("run", "regress", "matrix", "history", "evidence", "doctor", "servers")
NAMES = ["01_the_incident", "10_cut_in_production", "13_the_doctor"]


def options(command: str) -> dict[str, str]:
    """Return each option's help, by its name."""
    return {
        flag: getattr(parameter, "help", None) or ""
        for parameter in COMMANDS[command].params
        for flag in parameter.opts
    }


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_help_says_what_each_exit_status_means(name: str) -> None:
    words = inspect.cleandoc(COMMANDS[name].callback.__doc__).split("Exit status: ")
    assert len(words) == 2
    statuses = re.findall(r"(?:^|; )([012]) ", words[1])
    assert statuses[0] == "0"
    assert statuses[-1] == "2"
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "100"}).output
    assert "Exit status: 0" in shown


@pytest.mark.parametrize("name", PRINTING)
def test_each_command_that_prints_results_has_json_and_no_color(name: str) -> None:
    assert {"--json", "--no-color"} <= set(options(name))


@pytest.mark.parametrize("flag", ["--only", "--json", "--no-color", "--base-url", "--model"])
def test_an_option_has_the_same_help_everywhere(flag: str) -> None:
    helps = {name: options(name)[flag] for name in PRINTING if flag in options(name)}
    helps.pop("doctor", None) if flag == "--model" else None  # the doctor's server is an argument
    assert len(helps) > 1
    assert len(set(helps.values())) == 1


def test_no_option_is_called_by_an_old_name() -> None:
    assert not [flag for name in COMMANDS for flag in options(name) if flag in OLD]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--runs=/proc/nowhere", "--notebooks", "notebooks"], "Cannot write to /proc/now"),
        (["regress", "--outputs", "nothing://x", "--dry-run"], "Outputs cannot go to nothing://x"),
        (["matrix", "--deadline", "0.1"], "--timeout"),
    ],
)
def test_an_old_name_still_works(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("only", "numbers"),
    [
        ("", ["01", "10", "13"]),
        ("01", ["01"]),
        ("13, 01", ["01", "13"]),
        ("THE_", ["01", "13"]),
        ("1", ["01", "10", "13"]),
        ("cut,", ["10"]),
    ],
)
def test_only_selects_each_name_that_contains_one_of_the_words(
    only: str, numbers: list[str]
) -> None:
    assert [name[:2] for name in select(NAMES, only, "notebook")] == numbers


def test_a_word_that_selects_nothing_is_an_error_with_the_names() -> None:
    with pytest.raises(UsageError) as raised:
        select(NAMES, "01,Nothing", "notebook")
    assert str(raised.value) == (
        "No notebook's name contains 'Nothing'; there are: 01_the_incident, 10_cut_in_production, "
        "13_the_doctor."
    )
    with pytest.raises(UsageError, match=r"there are 30, such as 0, 1, 2\.$"):
        select([str(number) for number in range(30)], "x", "cell")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_the_commands(shell: str) -> None:
    variables = {
        "_STREAM_LAB_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "stream-lab re",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "stream-lab re",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-m", "stream_lab"],
        env={**variables, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "regress" in done.stdout
    assert "matrix" not in done.stdout


def test_colours_can_be_switched_off() -> None:
    from stream_lab.cli.common import screen

    assert screen(no_colour=True).no_color
    assert not screen().no_color
