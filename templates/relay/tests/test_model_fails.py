"""What a caller is told when the model's server does not do its part."""

import pytest
from fake_vllm.testing import FakeVllm

from relay.settings import Settings
from serving import QUESTION, chat, client, serving

PATHS = pytest.mark.parametrize("path", ["/answer", "/chat"])


@PATHS
def test_it_is_down(path: str) -> None:
    with serving(Settings("http://127.0.0.1:9/v1", "nobody")) as relay, client() as http:
        answer = http.post(relay + path, json=QUESTION)
    assert answer.status_code == 502
    assert set(answer.json()["error"]) == {"type", "message"}


@PATHS
def test_it_does_not_know_the_model(fake_vllm: FakeVllm, path: str) -> None:
    with serving(Settings(fake_vllm.base_url, "another-model")) as relay, client() as http:
        assert http.post(relay + path, json=QUESTION).status_code == 502


@PATHS
@pytest.mark.fake_vllm("refuse:status=401,times=0")
def test_it_does_not_accept_the_key(relay: str, path: str) -> None:
    with client() as http:
        assert (
            http.post(relay + path, json=QUESTION).status_code == 502
        )  # the caller's own key, had it one, would be another matter


@PATHS
@pytest.mark.fake_vllm("refuse:status=503,retry_after=60,times=0")
def test_it_is_busy(relay: str, path: str) -> None:
    with client() as http:
        answer = http.post(relay + path, json=QUESTION)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"


@PATHS
@pytest.mark.fake_vllm("refuse:status=400,times=0")
def test_it_calls_the_request_bad(relay: str, path: str) -> None:
    with client() as http:
        assert http.post(relay + path, json=QUESTION).status_code == 400


@pytest.mark.fake_vllm("refuse:status=429,times=1")
def test_what_passes_is_tried_once_more(relay: str, fake_vllm: FakeVllm) -> None:
    assert chat(relay)[-1][0] == "done"
    assert len(fake_vllm.requests) == 2


@pytest.mark.fake_vllm("reset:after=5")
def test_it_breaks_off_in_the_middle(relay: str) -> None:
    *tokens, (kind, data) = chat(relay)
    assert tokens
    assert kind == "error"
    assert set(data["error"]) == {"type", "message"}


def test_more_than_the_longest_body_does_not_reach_it(relay: str, fake_vllm: FakeVllm) -> None:
    with client() as http:
        assert http.post(f"{relay}/chat", json={"question": "?" * 100_000}).status_code == 413
    assert not fake_vllm.requests
