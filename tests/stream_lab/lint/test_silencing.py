"""A comment silences the check of code, only for the rule that it names."""

from pathlib import Path

import pytest

from stream_lab.lint import check, survey
from tests.stream_lab.lint.cases import write
from tests.stream_lab.lint.traps import TRAPS


@pytest.mark.parametrize(
    ("comment", "silent"),
    [
        ("# stream-lab: ignore[blocking-in-async]", True),
        ("# stream-lab:ignore[ blocking-in-async ]  # noqa", True),
        ("# stream-lab: ignore[nest-asyncio]  # stream-lab: ignore[blocking-in-async]", True),
        ("# stream-lab: ignore", False),
        ("# noqa", False),
        ("# doctor: ignore[blocking-in-async]", True),
        ("# why not  # doctor: ignore[nest-asyncio, blocking-in-async]", True),
        ("# doctor: ignore[nest-asyncio]", False),
        ("# doctor: ignore", False),
    ],
)
def test_a_comment_on_the_line_silences_the_rule_that_it_names(
    comment: str, silent: bool, tmp_path: Path
) -> None:
    write(
        tmp_path / "app.py",
        f"import time\nasync def work():\n    time.sleep(1)  {comment}\n    time.sleep(2)",
    )
    result = survey([tmp_path])
    assert [each.line for each in result.findings] == ([4] if silent else [3, 4])
    assert result.silenced == silent


def test_a_comment_may_stand_on_the_first_line_of_the_statement(tmp_path: Path) -> None:
    text = "import time\nasync def work():\n    wait(  # doctor: ignore[blocking-in-async]\n        time.sleep(1),\n    )"
    write(tmp_path / "app.py", text)
    assert check([tmp_path]) == []


def test_a_comment_silences_a_finding_that_takes_several_files(tmp_path: Path) -> None:
    text = TRAPS["disconnect-hidden"][1].rstrip() + "  # doctor: ignore[disconnect-hidden]"
    write(tmp_path / "app.py", text)
    assert check([tmp_path]) == []


@pytest.mark.parametrize(
    ("comment", "silent"),
    [
        ("# stream-lab: ignore-file", True),
        ("# stream-lab: ignore-file[blocking-in-async]  # it is a script", True),
        ("# stream-lab: ignore-file[nest-asyncio]", False),
        ("x = 1  # stream-lab: ignore-file", False),
    ],
)
def test_a_comment_on_a_line_of_its_own_silences_a_file(
    comment: str, silent: bool, tmp_path: Path
) -> None:
    write(tmp_path / "app.py", f"import time\n{comment}\nasync def work():\n    time.sleep(1)")
    assert len(check([tmp_path])) == (0 if silent else 1)


def test_a_comment_may_stand_on_the_last_line_of_a_call(tmp_path: Path) -> None:
    text = "import time\nasync def work():\n    time.sleep(\n        1,\n    )  # stream-lab: ignore[blocking-in-async]"
    write(tmp_path / "app.py", text)
    assert check([tmp_path]) == []
