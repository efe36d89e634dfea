"""Notebooks 01 to 08 show the same with a real vLLM as with the fake."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from stream_lab import Endpoint
from stream_lab.notebooks.executor import Local
from stream_lab.notebooks.investigation import find_notebooks, tasks_of
from stream_lab.notebooks.progress import Display
from stream_lab.notebooks.row import Row, Status
from stream_lab.notebooks.schedule import run_all
from stream_lab.notebooks.task import Server

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHOSEN = [each for each in find_notebooks(NOTEBOOKS) if "01" <= each.number <= "08"]


@pytest.fixture(scope="module")
def rows(server: Endpoint) -> Mapping[str, Row]:
    tasks = tasks_of(CHOSEN, NOTEBOOKS, Server(server.base_url, server.model), 2.0, jobs=1)
    with Local(1) as executor, Display(Console(stderr=True)) as display:
        return {each.row.notebook: each.row for each in run_all(tasks, executor, display)}


def test_there_are_nine() -> None:
    assert len(CHOSEN) == 9


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [each.name for each in CHOSEN])
def test_every_claim_is_as_told(name: str, rows: Mapping[str, Row]) -> None:
    row = rows[name]
    assert not row.error
    assert [
        f"{claim.text}: {claim.found}" for claim in row.claims if claim.outcome != "as told"
    ] == []
    assert row.status is Status.PASS
