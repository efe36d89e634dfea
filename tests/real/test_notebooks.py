"""Notebooks 01 to 08 tell of a real vLLM what they tell of the fake."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from stream_lab import Endpoint
from stream_lab.notebooks.investigation import Plan, Result, find_notebooks, investigate

ROOT = Path(__file__).parents[2]
CHOSEN = [path for path in find_notebooks(ROOT / "notebooks") if "01" <= path.name[:2] <= "08"]


@pytest.fixture(scope="module")
def results(server: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Result]:
    folder = tmp_path_factory.mktemp("run")
    for name in ("notebooks", "evidence"):
        (folder / name).mkdir()
    parameters = {"BASE_URL": server.base_url, "MODEL": server.model, "TIMEOUT": 2.0}
    plan = Plan(CHOSEN, parameters, jobs=1, folder=folder)
    return {result.name: result for result in investigate(plan, Console(stderr=True))}


def test_there_are_eight() -> None:
    assert len(CHOSEN) == 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [path.stem for path in CHOSEN])
def test_every_claim_is_as_told(name: str, results: Mapping[str, Result]) -> None:
    result = results[name]
    assert not result.error
    assert [
        f"{claim.text}: {claim.found}" for claim in result.claims if claim.outcome != "as told"
    ] == []
    assert result.as_told
