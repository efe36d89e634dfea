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
    """Return a fake-vllm as it was started, with an empty ledger and nothing that runs.

    It plays the scenario in `@pytest.mark.fake_vllm("scenario")`, if there is one.
    """
    from fake_vllm.testing import FakeVllmError

    fake_vllm_server.reset()
    if (marker := request.node.get_closest_marker("fake_vllm")) is not None:
        if len(marker.args) != 1 or not isinstance(marker.args[0], str) or marker.kwargs:
            raise pytest.UsageError(
                'The marker takes one scenario, as @pytest.mark.fake_vllm("stall:after=3"); '
                f"{request.node.nodeid} has {_shown(marker)}."
            )
        try:
            fake_vllm_server.play(marker.args[0])
        except FakeVllmError as error:
            raise pytest.UsageError(f"{request.node.nodeid}: {error}") from None
    return fake_vllm_server


def _shown(marker: pytest.Mark) -> str:
    named = [f"{name}={value!r}" for name, value in marker.kwargs.items()]
    return f"fake_vllm({', '.join([*map(repr, marker.args), *named])})"
