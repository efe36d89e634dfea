"""Notebooks 01 to 08 show the same with a real vLLM as with the fake."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from stream_lab import Endpoint
from stream_lab.notebooks.executor import Local
from stream_lab.notebooks.investigation import find_notebooks, tasks_of
from stream_lab.notebooks.notebook import Notebook
from stream_lab.notebooks.progress import Display
from stream_lab.notebooks.row import Status
from stream_lab.notebooks.schedule import run_all
from stream_lab.notebooks.task import Server
from tests.real.at_rest import watched

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHOSEN = [each for each in find_notebooks(NOTEBOOKS) if "01" <= each.number <= "08"]


@pytest.fixture(scope="module")
def executor() -> Iterator[Local]:
    with Local(1) as executor:
        yield executor


def test_there_are_nine() -> None:
    assert len(CHOSEN) == 9


@pytest.mark.parametrize("notebook", CHOSEN, ids=lambda notebook: notebook.name)
def test_every_claim_is_as_told(notebook: Notebook, server: Endpoint, executor: Local) -> None:
    place = Server(server.base_url, server.model)
    tasks = tasks_of([notebook], NOTEBOOKS, place, 2.0, jobs=1)
    with watched(server), Display(Console(stderr=True)) as display:
        (row,) = [each.row for each in run_all(tasks, executor, display)]
    assert not row.error
    assert [
        f"{claim.text}: {claim.found}" for claim in row.claims if claim.outcome != "as told"
    ] == []
    assert row.status is Status.PASS
