"""Which rules apply and which files are read, by options and by pyproject.toml."""

from pathlib import Path

import pytest

from stream_lab.lint import Settings, settings_for, survey
from stream_lab.lint.settings import SettingsError
from tests.stream_lab.lint.cases import write

CODE = """
import asyncio, time
async def work():
    time.sleep(1)
    asyncio.run(other())
"""


def rules(folder: Path, settings: Settings | None = None) -> list[str]:
    findings = survey([folder], settings or settings_for([folder])).findings
    return [each.rule for each in findings]


@pytest.mark.parametrize(
    ("table", "left"),
    [
        ("", ["blocking-in-async", "run-in-running-loop"]),
        ('select = ["blocking-in-async"]', ["blocking-in-async"]),
        ("select = []", []),
        ('ignore = ["blocking-in-async"]', ["run-in-running-loop"]),
        ('exclude = ["app.py"]', []),
        ('exclude = ["src"]', []),
        ('exclude = ["src/in*/"]', []),
        ('exclude = ["./src/inner/app.py"]', []),
        ('exclude = ["inner/app.py", "ap"]', ["blocking-in-async", "run-in-running-loop"]),
    ],
)
def test_the_table_of_the_project_above_applies(
    table: str, left: list[str], tmp_path: Path
) -> None:
    text = f"[tool.stream-lab.lint]\n{table}\n"
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    write(tmp_path / "src" / "inner" / "pyproject.toml", "[project]\nname = 'x'")
    write(tmp_path / "src" / "inner" / "app.py", CODE)
    assert rules(tmp_path / "src" / "inner") == left


def test_an_excluded_file_is_not_read_even_if_it_is_named(tmp_path: Path) -> None:
    write(tmp_path / "app.py", CODE)
    settings = Settings(exclude=("app.py",), root=tmp_path)
    assert survey([tmp_path / "app.py"], settings).files == 0


def test_a_table_outside_of_the_repository_does_not_apply(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.stream-lab.lint]\nselect = []")
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    write(tmp_path / "repository" / "app.py", CODE)
    assert len(rules(tmp_path / "repository")) == 2


def test_options_replace_the_selection_and_add_to_what_is_ignored(tmp_path: Path) -> None:
    write(tmp_path / "app.py", CODE)
    project = Settings(select=("nest-asyncio",), ignore=("run-in-running-loop",))
    given = project.with_options(select=["blocking-in-async,run-in-running-loop"], ignore=[])
    assert rules(tmp_path, given) == ["blocking-in-async"]
    given = project.with_options(select=["blocking-in-async"], ignore=["blocking-in-async"])
    assert rules(tmp_path, given) == []
    assert project.with_options(select=[], ignore=[]) == project


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('[tool.stream-lab.lint]\nselect = ["blocking"]', "no rule 'blocking'; did you mean"),
        ('[tool.stream-lab.lint]\nignore = ["E501"]', "no rule 'E501'; there are: "),
        ('[tool.stream-lab.lint]\nselect = "all"', "select must be a list of strings"),
        ("[tool.stream-lab.lint]\nexclude = [1]", "exclude must be a list of strings"),
        ("[tool.stream-lab.lint]\nexclud = []", "no setting 'exclud'; there are: select"),
        ("[tool.stream-lab]\nlint = 1", "must be a table"),
        ("[tool", "is not TOML"),
        ('[tool.stream-lab.lint]\n"\\u001b[2J\\n" = 1', "no setting '\\x1b[2J'; there are"),
        ("a = " + "[" * 5000, "is nested too deeply"),
        ("a = " + "9" * 5000, "is not TOML"),
        ("a = '\x1b'", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_the_file(
    table: str, says: str, tmp_path: Path
) -> None:
    write(tmp_path / "pyproject.toml", table)
    with pytest.raises(SettingsError) as raised:
        settings_for([tmp_path])
    assert says in str(raised.value)
    assert str(tmp_path / "pyproject.toml") in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("table", ["tool = 1", "[tool]\nstream-lab = [1]"])
def test_a_table_of_another_type_is_that_of_another_program(table: str, tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", table)
    assert settings_for([tmp_path]) == Settings()
