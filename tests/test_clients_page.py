"""The page of clients shows the last run of `make clients`, every way in it."""

import json
import re
from typing import Any

import pytest

from tests.clients.page import COLUMNS, PAGE, RESULTS, filled, rendered
from tests.clients.registry import KINDS, ROOT, read

PACKAGES = "tests/clients/programs/package.json"


@pytest.fixture(scope="module")
def results() -> Any:
    return json.loads((ROOT / RESULTS).read_text(encoding="utf-8"))


def test_the_page_has_the_results_of_the_last_run(results: Any) -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page == filled(page, rendered(results)), "run python -m tests.clients.page"


def test_the_last_run_played_every_case_of_the_registry_and_each_held(results: Any) -> None:
    played = {
        (client, name): [kind for kind in KINDS if way["cases"].get(kind, {}).get("holds")]
        for client, said in results.items()
        for name, way in said["ways"].items()
    }
    wanted = {
        (client.name, name): [kind for kind in KINDS if kind in way.plays]
        for client in read().values()
        for name, way in client.ways.items()
    }
    assert played == wanted


def test_the_page_has_a_column_for_each_kind_of_case() -> None:
    assert tuple(COLUMNS) == KINDS


def test_a_case_that_does_not_hold_is_marked(results: Any) -> None:
    [client, *_] = results.values()
    [way, *_] = client["ways"].values()
    before = rendered(results).count("✘")
    way["cases"]["tools"] = {"holds": False}
    assert rendered(results).count("✘") == before + 1


def test_a_way_that_leaves_out_a_kind_without_a_reason_is_an_error(tmp_path: Any) -> None:
    file = tmp_path / "clients.yaml"
    text = "a: {title: A, environment: e, program: p, ways: {w: {plays: whole stream}}}"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^a, w: each of whole, .* needs a place"):
        read(file)


def test_the_packages_for_node_have_exact_versions() -> None:
    described = json.loads((ROOT / PACKAGES).read_text(encoding="utf-8"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", each) for each in described["dependencies"].values())
