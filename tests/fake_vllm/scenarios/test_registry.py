"""The table of scenarios and the folder say the same."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from fake_vllm import scenarios
from fake_vllm.cli import main
from fake_vllm.scenarios import parse
from fake_vllm.scenarios.base import Scenario
from fake_vllm.scenarios.parameters import OWN, described
from fake_vllm.scenarios.registry import CLASSES, load

SHARED = {"__init__", "base", "parameters", "parse", "registry", "trigger"}


def test_each_file_is_a_scenario_of_the_table() -> None:
    files = {file.stem for file in Path(scenarios.__path__[0]).glob("*.py")}
    assert files - SHARED == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_each_name_loads_the_class_of_its_file(name: str) -> None:
    scenario = load(name)
    assert issubclass(scenario, Scenario)
    assert is_dataclass(scenario)
    assert scenario.__module__.rpartition(".")[2] == name


def test_only_never_read_does_not_read_requests() -> None:
    assert [name for name in CLASSES if not load(name).reads_requests] == ["never_read"]


def test_the_list_for_programs_has_each_parameter_with_its_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["scenarios", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == list(CLASSES)
    for each in listed:
        names = [parameter["name"] for parameter in each["parameters"]]
        own = [field.name for field in fields(load(each["name"]))]  # type: ignore[arg-type]
        assert names[: len(own)] == own
        assert {"attempts", "requests", "chance"} <= set(names)
        for parameter in each["parameters"]:
            assert len(parameter["description"]) > 10, (each["name"], parameter)
            assert parameter["type"] in {
                *("boolean", "integer", "number", "string", "path", "range", "choice")
            }
        assert set(OWN.get(each["name"], {})) <= set(own)


def test_each_default_of_the_list_can_be_written_out() -> None:
    for each in described():
        pairs = [
            f"{one['name']}={str(one['default']).lower() if one['type'] == 'boolean' else one['default']}"
            for one in each["parameters"]
            if one["default"] is not None
        ]
        if each["name"] != "replay":
            parse(f"{each['name']}:{','.join(pairs)}")
