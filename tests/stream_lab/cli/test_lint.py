"""`stream-lab lint`: its formats, its options and its exit status."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from stream_lab.cli import app
from stream_lab.lint import RULES

TRAP = "import time\nasync def work():\n    time.sleep(1)\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.py").write_text(TRAP, encoding="utf-8")
    Path("good.py").write_text("import time\n", encoding="utf-8")
    Path("no.py").write_text("if:\n", encoding="utf-8")
    cell = {"cell_type": "code", "source": TRAP}
    Path("a, b.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")


def lint(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lint", *arguments])


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["good.py"], 0),
        (["bad.py"], 1),
        (["no.py"], 2),
        (["nowhere"], 2),
        (["bad.py", "no.py"], 1),
        ([], 1),
        (["bad.py", "--exit-zero"], 0),
        (["no.py", "--exit-zero"], 2),
        (["bad.py", "--ignore", "nest-asyncio,blocking-in-async"], 0),
        (["bad.py", "--select", "nest-asyncio", "--select", "length-promised"], 0),
        (["bad.py", "--select", "blocking-in-async"], 1),
        (["bad.py", "--select", "blocking"], 2),
        (["bad.py", "--format", "xml"], 2),
    ],
)
def test_the_exit_status_is_0_if_clean_1_with_findings_and_2_if_unread(
    arguments: list[str], status: int
) -> None:
    for form in ("text", "json", "sarif", "github"):
        done = lint(*([] if "--format" in arguments else ["--format", form]), *arguments)
        assert done.exit_code == status, done.output


def test_a_rule_that_does_not_exist_is_one_sentence() -> None:
    done = lint("bad.py", "--select", "blocking")
    assert re.fullmatch(r"stream-lab: --select names no rule 'blocking'; [^\n]+\n", done.stderr)
    assert done.stdout == ""


def test_text_ends_with_a_count_and_json_is_a_list() -> None:
    assert lint("bad.py").stdout.splitlines()[-1] == "1 trap in 1 file, 3 lines."
    [found] = json.loads(lint("bad.py", "--format", "json").stdout)
    assert (found["path"], found["line"], found["rule"]) == ("bad.py", 3, "blocking-in-async")


def test_github_gets_an_annotation_at_each_line() -> None:
    done = lint("a, b.ipynb", "bad.py", "no.py", "--format", "github")
    notebook, bad, unread = done.stdout.splitlines()
    assert bad.startswith(
        "::warning file=bad.py,line=3,col=5,title=blocking-in-async::`time.sleep(…)` blocks"
    )
    assert notebook.startswith(
        "::warning file=a%2C b.ipynb,title=blocking-in-async::Cell 1, line 3: `time.sleep(…)`"
    )
    assert unread.startswith("::error file=no.py,line=1,col=3,title=not-read::Not read: it is not")


def test_sarif_has_the_rules_the_results_and_what_was_not_read() -> None:
    log = json.loads(lint("bad.py", "a, b.ipynb", "no.py", "--format", "sarif").stdout)
    [run] = log["runs"]
    assert log["version"] == "2.1.0"
    assert [each["id"] for each in run["tool"]["driver"]["rules"]] == [rule.id for rule in RULES]
    notebook, bad = run["results"]
    place = bad["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "bad.py"}
    assert place["region"] == {"startLine": 3, "startColumn": 5}
    assert RULES[bad["ruleIndex"]].id == bad["ruleId"] == "blocking-in-async"
    [place] = notebook["locations"]
    assert place["physicalLocation"] == {"artifactLocation": {"uri": "a%2C%20b.ipynb"}}
    assert place["logicalLocations"] == [{"name": "cell 1, line 3"}]
    [invocation] = run["invocations"]
    assert invocation["executionSuccessful"] is False
    [unread] = invocation["toolExecutionNotifications"]
    assert unread["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "no.py"


def test_the_doctor_reads_code_with_the_same_settings() -> None:
    Path("pyproject.toml").write_text(
        '[tool.stream-lab.lint]\nignore = ["blocking-in-async"]\n', encoding="utf-8"
    )
    done = CliRunner().invoke(app, ["doctor", "--code", "bad.py"])
    assert (done.exit_code, done.stdout) == (0, lint("bad.py").stdout)


def test_the_hook_runs_the_command_on_named_files() -> None:
    [hook] = yaml.safe_load(
        (Path(__file__).parents[3] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    )
    program, *arguments = hook["entry"].split()
    assert program == "stream-lab"
    assert CliRunner().invoke(app, [*arguments, "good.py", "bad.py"]).exit_code == 1
