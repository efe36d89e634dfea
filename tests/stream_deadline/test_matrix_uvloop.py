"""Cells of the matrix on uvloop: some calls of each kind."""

from collections.abc import Mapping

import pytest

from stream_deadline import ChatVllm
from stream_lab.matrix import Cell, Result
from tests.stream_deadline.played import by_name, of_some_calls, played


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Mapping[Cell, Result]:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")
    return played(request, ChatVllm, new_loop=uvloop.new_event_loop)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", [cell for cell in of_some_calls() if cell.is_async], ids=by_name)
def test_a_cell_on_uvloop_holds(cell: Cell, results: Mapping[Cell, Result]) -> None:
    assert not results[cell].why
