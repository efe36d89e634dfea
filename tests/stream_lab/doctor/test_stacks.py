"""The doctor finds cause and layer in faulty stacks, and none in healthy ones."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from stream_lab.doctor import Cause, Diagnosis, examine
from tests.at_once import SideBySide
from tests.conftest import needs
from tests.stream_lab.doctor.stacks import BROKEN, HEALTHY, STACKS, Stack

AT_ONCE = 4  # they mostly wait


def found(name: str) -> Diagnosis:
    [stack] = [stack for stack in STACKS if stack.name == name]
    with stack.made() as (target, direct):
        return examine(target, direct=direct, watch=stack.watch).diagnosis


@pytest.fixture(scope="module")
def diagnoses(request: pytest.FixtureRequest) -> Iterator[SideBySide[Diagnosis]]:
    items: list[Any] = request.session.items
    asked = {
        item.callspec.params["stack"].name
        for item in items
        if "diagnoses" in getattr(item, "fixturenames", ())
    }
    asked -= {
        stack.name for stack in STACKS if stack.program and needs(stack.program).name == "skip"
    }
    names = [stack.name for stack in STACKS if stack.name in asked]
    with closing(SideBySide(found, names, AT_ONCE)) as diagnoses:
        yield diagnoses


@pytest.mark.parametrize(
    "stack",
    [
        pytest.param(stack, id=stack.name, marks=[needs(stack.program)] if stack.program else [])
        for stack in STACKS
    ],
)
def test_the_cause_and_the_layer_are_found(stack: Stack, diagnoses: SideBySide[Diagnosis]) -> None:
    diagnosis = diagnoses[stack.name]
    assert (diagnosis.cause, diagnosis.layer) == (stack.cause, stack.layer), diagnosis.evidence
    assert diagnosis.evidence
    assert diagnosis.next
    assert 0.5 <= diagnosis.confidence < 1


def test_the_stacks_are_many_and_have_every_cause_except_those_that_only_a_log_shows() -> None:
    assert len(HEALTHY) >= 6
    assert len(BROKEN) >= 24
    assert {stack.cause for stack in STACKS} == set(Cause) - {Cause.CLIENT_ENDED}
    assert len({stack.name for stack in STACKS}) == len(STACKS)
