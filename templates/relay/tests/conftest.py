"""One relay for all tests, in front of one fake vLLM.

The fixture `fake_vllm` comes with the distribution fake-vllm.
"""

from collections.abc import Iterator

import pytest
from fake_vllm.testing import FakeVllm

from relay.settings import Settings
from serving import serving


@pytest.fixture(scope="session")
def settings(fake_vllm_server: FakeVllm) -> Settings:
    return Settings(fake_vllm_server.base_url, fake_vllm_server.model, max_timeout=20.0)


@pytest.fixture(scope="session")
def one_relay(settings: Settings) -> Iterator[str]:
    with serving(settings) as url:
        yield url


@pytest.fixture
def relay(one_relay: str, fake_vllm: FakeVllm) -> str:
    """Return the address of the relay.

    The fake has an empty ledger, and plays the scenario in the test's mark.
    """
    return one_relay
