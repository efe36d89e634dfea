"""What every test of the library has."""

from collections.abc import Iterator

import pytest

from stream_lab.http.certificates import one_certificate


@pytest.fixture(scope="module", autouse=True)
def _quick_to_make_clients() -> Iterator[None]:
    """Have clients load one certificate: all of them take 50 ms, and most tests make clients and trust nobody."""
    with one_certificate():
        yield
