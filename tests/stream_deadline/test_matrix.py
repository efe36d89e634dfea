"""The matrix for `ChatVllm`, over real sockets, with the fake's ledger as witness.

Over new connections here; `test_matrix_pooled.py` has the others, `test_matrix_uvloop.py` and
`test_matrix_tls.py` some of both.
"""

from collections.abc import Mapping

import pytest

from stream_deadline import ChatVllm
from stream_lab.matrix import Cell, Result, cells
from tests.stream_deadline.played import by_name, played


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Mapping[Cell, Result]:
    return played(request, ChatVllm)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", [cell for cell in cells() if not cell.row.pooled], ids=by_name)
def test_a_cell_over_a_new_connection_holds(cell: Cell, results: Mapping[Cell, Result]) -> None:
    assert not results[cell].why
