"""Notebooks whose programs are not installed are skipped, or fail where all must be installed."""

import os

import pytest

from stream_lab.processes.programs import missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("REQUIRE_REAL_PARTS") == "1":
        return
    for item in items:
        if item.path.suffix == ".ipynb" and (why := missing(item.path.name[:2])):
            item.add_marker(pytest.mark.skip(reason=why))
