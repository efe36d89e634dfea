"""The real vLLM under test: at REAL_VLLM_URL, or started here on the CPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from stream_lab import Endpoint
from stream_lab.processes.backends import VLLM, RealServer, RealServerError, Recipe, vllm_with

NAMED = os.environ.get("REAL_VLLM_URL") or None
OPTIONS = (
    *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
    *("--enable-prompt-tokens-details", "--enable-request-id-headers"),
)
LIMIT = 600
"""Seconds that a test may take. The start of its server has a limit of its own, which a busy machine may need."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(LIMIT, func_only=True))


@contextmanager
def started(recipe: Recipe) -> Iterator[str]:
    """The address of a server that starts now.

    If it does not start, the session ends with one sentence.
    """
    try:
        server = RealServer(recipe, Console(stderr=True))
    except RealServerError as error:
        pytest.exit(str(error), returncode=1)
    with server:
        yield server.url


@contextmanager
def own_vllm(*flags: str) -> Iterator[str]:
    """The address of a vLLM with these flags.

    A server that was named has the flags it has, so what needs others is skipped there.
    """
    if NAMED:
        pytest.skip(
            f"needs a vLLM started with {' '.join(flags)}, and the one under test was named in BASE_URL"
        )
    with started(vllm_with(*flags) if flags else VLLM) as address:
        yield address


@pytest.fixture(scope="package")
def url() -> Iterator[str]:
    """The address, ending in /v1, of a vLLM without flags."""
    if NAMED:
        yield NAMED
        return
    with own_vllm() as address:
        yield address


@pytest.fixture(scope="package")
def server(url: str) -> Iterator[Endpoint]:
    with Endpoint(url, os.environ.get("REAL_VLLM_MODEL") or None) as endpoint:
        assert endpoint.shows_metrics, "the witness needs vLLM's /metrics"
        assert not endpoint.is_fake, "this is not a real vLLM"
        yield endpoint
