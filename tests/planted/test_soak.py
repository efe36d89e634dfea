"""A soak finds each planted defect."""

import pytest

from tests.stream_lab.soak.defects import DEFECTS, Defect
from tests.stream_lab.soak.soaking import Soaking, shows, soaking

__all__ = ["soaking"]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda each: each.name)
def test_a_planted_defect_is_found(defect: Defect, soaking: Soaking) -> None:
    assert shows(defect, soaking)
