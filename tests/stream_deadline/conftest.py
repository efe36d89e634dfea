"""What every test of the library has."""

from collections.abc import Iterator

import pytest

from fake_vllm.testing import FakeVllm
from stream_lab.http.certificates import one_certificate
from tests.stream_deadline.reported import reported

__all__ = ["reported"]


@pytest.fixture(scope="module", autouse=True)
def _quick_to_make_clients() -> Iterator[None]:
    """Let clients load one certificate, since all of them take 50 ms."""
    with one_certificate():
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    """An endless fake with tools, for many callers at once."""
    with FakeVllm(
        "endless",
        gap=0.02,
        max_num_seqs=1000,
        enable_auto_tool_choice=True,
        tool_call_parser="hermes",
    ) as server:
        yield server
