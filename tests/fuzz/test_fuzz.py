"""Each target holds for new values and for old failures, and finds a planted defect.

`FUZZ_EXAMPLES=1000 pytest -n 0 tests/fuzz` tries that many values of each, `make fuzz` tries for
minutes.
"""

import os

import pytest

# Targets start servers in this process, as `FakeVllm` and other processes do elsewhere: `make check` leaves them out.
from fake_vllm.testing import FakeVllm  # noqa: F401
from tests.fuzz.every import TARGETS
from tests.fuzz.target import Target

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""How many values; 0: each target's own share."""
each = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@each
def test_it_is_fuzzed(target: "Target[object]") -> None:
    target.run(EXAMPLES or target.examples)


@pytest.mark.parametrize(
    ("target", "row"),
    [pytest.param(each, row, id=row) for each in TARGETS.values() for row in each.rows],
)
def test_a_value_that_once_failed_holds(target: "Target[object]", row: str) -> None:
    target.run_row(row)


@each
def test_a_planted_defect_is_found(
    target: "Target[object]", monkeypatch: pytest.MonkeyPatch
) -> None:
    target.plant(monkeypatch)
    with pytest.raises(target.shows) as found:
        target.run(target.to_plant, shrink=False)
    assert type(found.value) is target.shows
    if target.shows is LookupError:
        assert str(found.value) == "planted"
