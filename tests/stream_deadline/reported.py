"""The fixture that collects what is reported of expired calls."""

from collections.abc import Iterator

import pytest

from stream_deadline import Expiry, on_expired, remove_hook


@pytest.fixture
def reported() -> Iterator[list[Expiry]]:
    """What is reported of calls that a bound has ended during a test."""
    expiries: list[Expiry] = []
    hook = on_expired(expiries.append)
    yield expiries
    remove_hook(hook)
