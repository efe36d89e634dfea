"""The table of scenarios and the folder say the same."""

from dataclasses import is_dataclass
from pathlib import Path

import pytest

from fake_vllm import scenarios
from fake_vllm.scenarios.base import Scenario
from fake_vllm.scenarios.registry import CLASSES, load

SHARED = {"__init__", "base", "parse", "registry", "trigger"}


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
