"""Give pytest the fixtures of `stream_deadline.testing`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stream_deadline.testing import VirtualClock


@pytest.fixture
def virtual_clock() -> "Iterator[VirtualClock]":
    """Measure the deadlines of a test by a clock that the test moves with `advance`."""
    from stream_deadline.testing import virtual_clock  # it loads LangChain, which takes seconds

    with virtual_clock() as clock:
        yield clock


@pytest.fixture
def expired_deadline() -> Iterator[None]:
    """Let each bounded call of a test end at once, as at its deadline."""
    from stream_deadline.testing import expired_deadline

    with expired_deadline():
        yield
