"""The pytest fixture `fake_vllm`, which is installed with the distribution."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fake_vllm.testing import FakeVllm


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fake_vllm(scenario): the scenario of the fixture `fake_vllm` in this test"
    )


@pytest.fixture(scope="session")
def fake_vllm_server() -> "Iterator[FakeVllm]":
    """Start a fake-vllm for the whole session; override it to use other flags."""
    # Imported only when a test uses it, since plugins are loaded in every run.
    from fake_vllm.testing import FakeVllm

    with FakeVllm() as fake:
        yield fake


@pytest.fixture
def fake_vllm(fake_vllm_server: "FakeVllm", request: pytest.FixtureRequest) -> "FakeVllm":
    """Return a fake-vllm with an empty ledger.

    It plays `finite`, or the scenario in `@pytest.mark.fake_vllm("scenario")`.
    """
    marker = request.node.get_closest_marker("fake_vllm")
    fake_vllm_server.clear()
    fake_vllm_server.play(marker.args[0] if marker else "finite")
    return fake_vllm_server
