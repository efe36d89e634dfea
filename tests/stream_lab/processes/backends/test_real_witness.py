"""The witness of `make test-real`, with a fake in the place of vLLM."""

import os
import signal
import threading
from collections.abc import Iterator

import httpx2
import pytest

from stream_lab import Endpoint
from stream_lab.experiment.fake import Fake
from tests import stood_still
from tests.real import at_rest
from tests.real.at_rest import at_rest_afterwards


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_rest, "FREES_WITHIN", 0.8)
    monkeypatch.setattr(at_rest, "ANSWERS", 10)


@pytest.fixture(scope="module")
def obedient() -> Iterator[Fake]:
    with Fake("endless", gap=0.01) as fake:
        yield fake


@pytest.fixture(scope="module")
def server(obedient: Fake) -> Iterator[Endpoint]:
    with Endpoint(obedient.base_url) as endpoint:
        yield endpoint


def ask(endpoint: Endpoint) -> None:
    """Read some tokens of an endless answer, and leave."""
    body = {"model": endpoint.model, "messages": [{"role": "user", "content": "?"}], "stream": True}
    with (
        httpx2.Client(trust_env=False, timeout=30) as client,
        client.stream("POST", f"{endpoint.base_url}/chat/completions", json=body) as answer,
    ):
        lines = answer.iter_lines()
        for _ in range(20):
            next(lines)


def test_a_server_that_works_on_is_reported_and_one_that_stops_is_not(server: Endpoint) -> None:
    with at_rest_afterwards(server, 1):
        ask(server)
    with (
        Fake("endless", gap=0.01, on_disconnect="keep") as fake,
        Endpoint(fake.base_url) as stubborn,
        pytest.raises(AssertionError, match="vLLM works on"),
        at_rest_afterwards(stubborn, 1),
    ):
        ask(stubborn)


def test_a_server_that_gets_no_cpu_has_its_time_later_and_the_machine_stood_still(
    server: Endpoint, obedient: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[float] = []
    monkeypatch.setattr(stood_still, "also_late", noted.append)
    with at_rest_afterwards(server, 1):
        ask(server)
        os.kill(obedient.pid, signal.SIGSTOP)
        threading.Timer(at_rest.FREES_WITHIN + 0.7, os.kill, (obedient.pid, signal.SIGCONT)).start()
    assert len(noted) == 1
    assert noted[0] > at_rest.FREES_WITHIN
