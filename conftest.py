"""Notebooks that start a program which is not installed are skipped and say which; where all must be there, they fail."""

import os

import pytest

from stream_lab.processes.programs import missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("REQUIRE_REAL_PARTS") == "1":
        return
    for item in items:
        if item.path.suffix == ".ipynb" and (why := missing(item.path.name[:2])):
            item.add_marker(pytest.mark.skip(reason=why))
