"""The real vLLM under test: at REAL_VLLM_URL, or started here on the CPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from stream_lab import Endpoint
from stream_lab.processes.backends import VLLM, RealServer, vllm_with

NAMED = os.environ.get("REAL_VLLM_URL") or None
OPTIONS = (
    *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
    *("--enable-prompt-tokens-details", "--enable-request-id-headers"),
)


@contextmanager
def own_vllm(*flags: str) -> Iterator[str]:
    """The address of a vLLM with these flags.

    A server that was named has the flags it has, so what needs others is skipped there.
    """
    if NAMED:
        pytest.skip(
            f"needs a vLLM started with {' '.join(flags)}, and the one under test was named in BASE_URL"
        )
    with RealServer(vllm_with(*flags) if flags else VLLM, Console(stderr=True)) as server:
        yield server.url


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
