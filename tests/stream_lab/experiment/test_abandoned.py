"""The server of a model is watched after its caller has given up."""

import time
from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI

from stream_lab import Endpoint
from stream_lab.experiment.abandoned import state_now, watch_request
from stream_lab.experiment.call import Call
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.trace import Recording
from stream_lab.experiment.verdict import BY_ITSELF, Server
from stream_lab.experiment.witness import Sample
from stream_lab.http.client import direct_async_client
from stream_lab.processes import Serving, serve

PATIENCE = 0.4


@pytest.fixture(scope="module")
def service(fake: Endpoint) -> Iterator[Serving]:
    """A service that reads its model's whole stream, for as long as its query says."""
    app = FastAPI()

    @app.post("/answer")
    async def answer(seconds: float) -> str:
        body = {"model": fake.model, "messages": [{"role": "user", "content": "Hi"}]}
        async with (
            direct_async_client(timeout=seconds) as client,
            client.stream(
                "POST", f"{fake.base_url}/chat/completions", json={**body, "stream": True}
            ) as stream,
        ):
            began = time.monotonic()
            async for _ in stream.aiter_lines():
                if time.monotonic() - began > seconds:
                    break
        return "done"

    with serve(app) as running:
        yield running


def ask(service: Serving, seconds: float) -> object:
    with httpx2.Client(timeout=PATIENCE, trust_env=False) as client:
        return client.post(f"{service.url}/answer", params={"seconds": seconds})


def test_a_service_with_a_bound_of_its_own_frees_the_server_after_that_bound(
    service: Serving, fake: Endpoint
) -> None:
    call = watch_request(lambda: ask(service, 0.7), server=fake, afterwards=3)
    assert call.server == Server.STOPPED
    assert call.freed is not None
    assert 0.7 <= call.freed < call.samples[-1].at < 3


def test_an_answer_in_time_shows_nothing(service: Serving, fake: Endpoint) -> None:
    call = watch_request(lambda: ask(service, 0.1), server=fake)
    assert isinstance(call.server, Unknown)
    assert call.recording.error == ""


def test_an_answer_in_time_shows_nothing_of_a_look_after_its_end() -> None:
    samples = [Sample(0.1, 0, 0, 0), Sample(0.3, 1, 0, 5), Sample(0.51, 0, 0, 9)]
    call = Call(Recording(ended=0.5), 0.5, samples)
    assert call.server == BY_ITSELF
    assert call.freed is None


def test_a_request_that_its_client_gives_up_on_keeps_the_server_at_work_until_the_service_ends(
    service: Serving, fake: Endpoint
) -> None:
    call = watch_request(lambda: ask(service, 60), server=fake, afterwards=0.6)
    assert call.recording.error == "ReadTimeout"
    assert PATIENCE - 0.01 <= call.deadline < call.samples[-1].at - 0.4
    assert call.server == Server.RAN_ON
    assert call.freed is None
    assert call.tokens_after_deadline > 3
    service.close()
    assert state_now(fake, after=call) == Server.STOPPED
