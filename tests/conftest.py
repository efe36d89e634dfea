"""What many tests share: real servers as processes of their own, as in the field."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, settings

from stream_lab import Endpoint, bundled
from stream_lab.experiment.fake import Fake
from stream_lab.processes import MissingPart
from stream_lab.processes.programs import find

# A shell starts what runs in the background deaf to Ctrl-C, and every process would pass that on to those that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis takes an example of more than 0.2 s for a fault, and a busy machine for a slow test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

TARGETS = {
    "alone": "BABBLING_URL",
    "book": "TEST_BOOK",
    "clients": "TEST_CLIENTS",
    "packages": "TEST_PACKAGES",
    "planted": "TEST_PLANTED",
    "real": "TEST_REAL",
}
"""Folders with a target of their own, which sets the variable: `make book`, `make test-real` and so on."""
collect_ignore = [folder for folder, variable in TARGETS.items() if not os.environ.get(variable)]

REQUIRED = os.environ.get("REQUIRE_REAL_PARTS") == "1"
"""Whether a program that is not installed is a failure; otherwise its tests are skipped, and say which it is."""


def needs(program: str) -> pytest.MarkDecorator:
    """For a test that starts a program which may not be installed."""
    try:
        find(program)
    except MissingPart as error:
        if not REQUIRED:
            return pytest.mark.skip(reason=str(error))
    return pytest.mark.skipif(False, reason="")


@pytest.fixture(scope="module")
def fake() -> Iterator[Endpoint]:
    """An endless fake at 20 ms a token, for the tests of a module."""
    with bundled("endless", gap=0.02) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=10, trust_env=False) as client:
        yield client


def ledger(client: httpx2.Client, endpoint: Endpoint | Fake) -> list[dict[str, Any]]:
    """What the fake wrote down about each request, oldest first."""
    requests: list[dict[str, Any]] = client.get(
        endpoint.base_url.removesuffix("/v1") + "/ledger"
    ).json()["requests"]
    return requests


def wait(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until it holds, at most N seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
