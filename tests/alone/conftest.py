"""A babbling server for tests that run with one distribution installed."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def babbling() -> Iterator[str]:
    """Give the base URL of an endless fake: one that runs, or one started here."""
    if url := os.environ.get("BABBLING_URL"):
        yield url
        return
    from fake_vllm.testing import FakeVllm

    with FakeVllm("endless", gap=0.02) as fake:
        yield fake.base_url
