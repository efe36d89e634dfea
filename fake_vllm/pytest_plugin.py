"""The pytest fixture `fake_vllm`; installed with the distribution."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fake_vllm.testing import FakeVllm


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fake_vllm(scenario): what the fixture `fake_vllm` plays in this test"
    )


@pytest.fixture(scope="session")
def fake_vllm_server() -> "Iterator[FakeVllm]":
    """A fake-vllm for the whole session; override it to start yours with other flags."""
    from fake_vllm.testing import (
        FakeVllm,
    )  # not before a test uses it: plugins are loaded in every run

    with FakeVllm() as fake:
        yield fake


@pytest.fixture
def fake_vllm(fake_vllm_server: "FakeVllm", request: pytest.FixtureRequest) -> "FakeVllm":
    """A fake-vllm with an empty ledger that plays `finite`, or what `@pytest.mark.fake_vllm("scenario")` says."""
    marker = request.node.get_closest_marker("fake_vllm")
    fake_vllm_server.clear()
    fake_vllm_server.play(marker.args[0] if marker else "finite")
    return fake_vllm_server
