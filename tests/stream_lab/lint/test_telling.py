"""Findings as text, as JSON, and in the documentation."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from stream_lab.lint import check, render
from stream_lab.lint.documentation import rules_table
from tests.stream_lab.lint.cases import write
from tests.stream_lab.lint.traps import TRAPS

ROOT = Path(__file__).parents[3]


def test_findings_are_rendered_as_a_place_a_sentence_and_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("app.py"), TRAPS["blocking-in-async"][0])
    text = render(check(["app.py", "nowhere"]))
    first, remedy, missing = text.split("\n")
    assert first.startswith("app.py:3:5: blocking-in-async `time.sleep(…)` blocks the event loop")
    assert remedy.startswith("    → `await asyncio.sleep(…)`")
    assert missing == "nowhere: Not read: there is no such file or folder."
    assert render([]) == ""


def test_findings_can_be_written_as_json(tmp_path: Path) -> None:
    write(tmp_path / "app.py", TRAPS["blocking-in-async"][0])
    (finding,) = check([str(tmp_path)])
    again = json.loads(json.dumps(finding.as_dict()))
    assert (again["path"], again["line"], again["rule"]) == (
        str(tmp_path / "app.py"),
        3,
        "blocking-in-async",
    )


def test_the_documentation_has_the_rules_of_the_code() -> None:
    text = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    assert rules_table() in text, "python -m stream_lab.lint.documentation prints the table"


def test_the_documentation_lists_every_finding_in_the_sources() -> None:
    text = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| `((?:src|notebooks)/\S+)` \| `([\w-]+)` \| (\d+) \|", text, re.MULTILINE
    )
    findings = check([ROOT / "src", ROOT / "notebooks" / "source"])
    counted = Counter((each.path.relative_to(ROOT).as_posix(), each.rule) for each in findings)
    assert {(path, rule): int(number) for path, rule, number in listed} == counted
