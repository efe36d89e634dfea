"""The doctor finds cause and layer in faulty stacks, and none in healthy ones."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from stream_lab.doctor import Cause, Diagnosis, examine
from tests.conftest import needs
from tests.plain_sleep import PlainSleep
from tests.stream_lab.doctor.stacks import BROKEN, HEALTHY, STACKS, Stack

AT_ONCE = 4  # they mostly wait


TRIES = 3
LATE = 0.15  # seconds that a plain sleep is late, from which on the doctor may be misled


def found(stack: Stack) -> Diagnosis:
    """Examine a stack, and repeat a wrong diagnosis if a plain sleep is late too."""
    for _ in range(TRIES):
        with PlainSleep() as sleep, stack.made() as (target, direct):
            diagnosis = examine(target, direct=direct, watch=stack.watch).diagnosis
        if diagnosis.cause == stack.cause or sleep.late < LATE:
            break
    return diagnosis


@pytest.fixture(scope="module")
def diagnoses(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Diagnosis]]]:
    items: list[Any] = request.session.items
    asked = {
        item.callspec.params["stack"].name
        for item in items
        if "diagnoses" in getattr(item, "fixturenames", ())
    }
    asked -= {
        stack.name for stack in STACKS if stack.program and needs(stack.program).name == "skip"
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {stack.name: pool.submit(found, stack) for stack in STACKS if stack.name in asked}


@pytest.mark.parametrize(
    "stack",
    [
        pytest.param(stack, id=stack.name, marks=[needs(stack.program)] if stack.program else [])
        for stack in STACKS
    ],
)
def test_the_cause_and_the_layer_are_found(
    stack: Stack, diagnoses: dict[str, Future[Diagnosis]]
) -> None:
    diagnosis = diagnoses[stack.name].result()
    assert (diagnosis.cause, diagnosis.layer) == (stack.cause, stack.layer), diagnosis.evidence
    assert diagnosis.evidence
    assert diagnosis.next
    assert 0.5 <= diagnosis.confidence < 1


def test_the_stacks_are_many_and_have_every_cause_except_those_that_only_a_log_shows() -> None:
    assert len(HEALTHY) >= 6
    assert len(BROKEN) >= 24
    assert {stack.cause for stack in STACKS} == set(Cause) - {Cause.CLIENT_ENDED}
    assert len({stack.name for stack in STACKS}) == len(STACKS)
