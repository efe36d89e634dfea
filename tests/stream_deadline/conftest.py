"""What every test of the library has."""

from collections.abc import Iterator

import pytest

from stream_lab.http.certificates import one_certificate


@pytest.fixture(scope="module", autouse=True)
def _quick_to_make_clients() -> Iterator[None]:
    """Let clients load one certificate, since all of them take 50 ms."""
    with one_certificate():
        yield
