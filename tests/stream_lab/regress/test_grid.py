"""Which cells a configuration makes, and what it must not name."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from stream_lab.regress.config import Config, ConfigError
from stream_lab.regress.grid import cells
from tests.stream_lab.notebooks.tiny_notebooks import GOOD, write


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for number in ("01", "02", "03"):
        write(tmp_path / "notebooks", number, GOOD)
    return tmp_path


def names(base: Path, **body: Any) -> list[str]:
    return [cell.name for cell in cells(Config.model_validate(body), base)]


def test_every_endpoint_meets_every_world_notebook_and_choice_of_parameters(base: Path) -> None:
    found = names(
        base,
        endpoints={"a": {}, "b": {}},
        worlds={"x": {}, "y": {}},
        parameters={"TIMEOUT": [1.0, 2.0], "MODEL": "m"},
    )
    assert len(found) == len(set(found)) == 2 * 2 * 3 * 2
    assert found[:2] == ["a/x/01_test/TIMEOUT=1.0", "a/x/01_test/TIMEOUT=2.0"], (
        "a parameter with one value needs no place in the name"
    )


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({"exclude": [{"notebook": ["01", "02_test"]}]}, ["a/x/03_test", "a/y/03_test"]),
        ({"include": [{"world": "x", "notebook": "0[12]*"}]}, ["a/x/01_test", "a/x/02_test"]),
        (
            {"include": [{"world": "x"}], "exclude": [{"world": "x", "notebook": "03"}]},
            ["a/x/01_test", "a/x/02_test"],
        ),
        ({"notebooks": "02"}, ["a/x/02_test", "a/y/02_test"]),
    ],
)
def test_rules_include_and_exclude_by_name_number_or_pattern(
    base: Path, rules: dict[str, Any], left: list[str]
) -> None:
    assert names(base, endpoints={"a": {}}, worlds={"x": {}, "y": {}}, **rules) == left


@pytest.mark.parametrize("value", [1.5, "1.5"])
def test_a_rule_may_name_a_value_of_a_parameter(base: Path, value: object) -> None:
    found = names(
        base, notebooks="01", parameters={"TIMEOUT": [1.5, 2.0]}, exclude=[{"TIMEOUT": value}]
    )
    assert found == ["bundled/here/01_test/TIMEOUT=2.0"]


WRONG: dict[str, dict[str, Any]] = {
    "No notebook is called '04_tset'": {"notebooks": ["04_tset"]},
    "do you mean 01_test?": {"notebooks": ["01_tset"]},
    "No notebook has a parameter TIMEOT; do you mean TIMEOUT?": {"parameters": {"TIMEOT": 2}},
    "No notebook has a parameter x; they have BASE_URL, MODEL, TIMEOUT.": {"parameters": {"x": 2}},
    "speaks of 'wrld'": {"exclude": [{"wrld": "x"}]},
    "names the world 'sed', and there is none": {"include": [{"world": "sed"}]},
    "The rules leave nothing to run": {"exclude": [{"notebook": "*"}]},
    "There are no notebooks in elsewhere": {"folder": "elsewhere"},
    "Two cells would both be called bundled/here/01_test/MODEL=a-b": {
        "parameters": {"MODEL": ["a/b", "a:b"]}
    },
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_name_of_nothing_is_an_error_before_anything_runs(base: Path, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        names(base, **WRONG[sentence])
    assert sentence in str(raised.value)


NUMBERS = {
    "1,500 endpoints and worlds": {
        "endpoints": {f"e{i}": {} for i in range(1500)},
        "worlds": {f"w{i}": {} for i in range(1500)},
    },
    "parameters": {"parameters": {name: list(range(300)) for name in ("TIMEOUT", "MODEL")}},
}


@pytest.mark.parametrize("body", NUMBERS.values(), ids=NUMBERS)
def test_a_matrix_with_too_many_cells_is_refused_before_it_is_made(
    base: Path, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_lab.regress.grid.product", None)
    with pytest.raises(ConfigError) as raised:
        names(base, **body)
    assert "0 cells, and 5,000 are the most; name fewer" in str(raised.value)


def test_rules_with_too_many_values_are_refused_before_they_are_applied(base: Path) -> None:
    rule = {"notebook": ["*"] * 150, "world": "here"}
    with pytest.raises(ConfigError) as raised:
        names(base, include=[rule], exclude=[rule])
    assert "There are 304 rules and values in them, and 200 are the most" in str(raised.value)


def test_rules_without_values_count_too(base: Path) -> None:
    with pytest.raises(ConfigError, match="There are 201 rules and values in them"):
        names(base, exclude=[{}] * 201)


def test_a_long_value_makes_a_short_name_of_its_own_in_each_run(base: Path) -> None:
    def made() -> list[str]:
        return names(base, parameters={"MODEL": [f"{'é' * 900}{n}" for n in range(2)]})

    found = made()
    assert len(set(found)) == 6
    assert found == made()
    assert all(len(f"{part}.ipynb".encode()) < 200 for name in found for part in name.split("/"))


def test_a_value_is_compared_with_a_rule_once_and_not_for_each_cell(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def counted(value: str, pattern: str) -> bool:
        compared.append(value)
        return fnmatchcase(value, pattern)

    monkeypatch.setattr("stream_lab.regress.grid.fnmatchcase", counted)
    worlds: dict[str, object] = {f"w{n}": {} for n in range(20)}
    found = names(
        base, worlds=worlds, parameters={"TIMEOUT": [*range(20)]}, exclude=[{"world": "w1*"}]
    )
    assert len(found) == 3 * 9 * 20
    assert compared.count("w1") == 1


def test_an_error_quotes_a_pattern_in_short(base: Path) -> None:
    for body in (
        {"notebooks": "x" * 900},
        {"exclude": [{"world": "x" * 900}]},
        {"exclude": [{"x" * 900: "y"}]},
        {"parameters": {"x" * 900: 1}},
    ):
        with pytest.raises(ConfigError) as raised:
            names(base, **body)
        assert len(str(raised.value)) < 400


def test_a_notebook_without_a_parameters_cell_is_refused(base: Path) -> None:
    file = base / "notebooks" / "01_test.ipynb"
    file.write_text(
        file.read_text(encoding="utf-8").replace('"parameters"', '"paramters"'), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"01_test\.ipynb has no cell tagged `parameters`"):
        names(base)


def test_a_file_of_another_kind_is_refused(base: Path) -> None:
    (base / "notebooks" / "09_x.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"09_x\.ipynb is not a notebook"):
        names(base)


def test_the_digest_of_a_notebook_follows_its_code_and_not_its_text(base: Path) -> None:
    file = base / "notebooks" / "01_test.ipynb"

    def digest() -> str:
        return cells(Config(notebooks=["01"]), base)[0].notebook.digest

    before, text = digest(), file.read_text(encoding="utf-8")
    file.write_text(text.replace("it holds", "it held"), encoding="utf-8")
    assert digest() != before
    file.write_text(text.replace("A `test`", "Another"), encoding="utf-8")
    assert digest() == before
