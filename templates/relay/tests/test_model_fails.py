"""The answers to a client when the model's server fails."""

import pytest
from fake_vllm.testing import FakeVllm

from relay.settings import Settings
from serving import QUESTION, chat, client, serving

PATHS = pytest.mark.parametrize("path", ["/answer", "/chat"])


@PATHS
def test_a_model_server_that_is_down_is_a_502(path: str) -> None:
    with serving(Settings("http://127.0.0.1:9/v1", "no-model")) as relay, client() as http:
        answer = http.post(relay + path, json=QUESTION)
    assert answer.status_code == 502
    assert set(answer.json()["error"]) == {"type", "message"}


@PATHS
def test_an_unknown_model_is_a_502(fake_vllm: FakeVllm, path: str) -> None:
    with serving(Settings(fake_vllm.base_url, "another-model")) as relay, client() as http:
        assert http.post(relay + path, json=QUESTION).status_code == 502


@PATHS
@pytest.mark.fake_vllm("refuse:status=401,times=0")
def test_a_refused_key_is_a_502(relay: str, path: str) -> None:
    with client() as http:
        assert (
            http.post(relay + path, json=QUESTION).status_code == 502
        )  # the caller's own key, had it one, would be another matter


@PATHS
@pytest.mark.fake_vllm("refuse:status=503,retry_after=60,times=0")
def test_a_busy_model_server_is_a_503(relay: str, path: str) -> None:
    with client() as http:
        answer = http.post(relay + path, json=QUESTION)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"


@PATHS
@pytest.mark.fake_vllm("refuse:status=400,times=0")
def test_a_bad_request_is_a_400(relay: str, path: str) -> None:
    with client() as http:
        assert http.post(relay + path, json=QUESTION).status_code == 400


@pytest.mark.fake_vllm("refuse:status=429,times=1")
def test_a_passing_error_is_retried_once(relay: str, fake_vllm: FakeVllm) -> None:
    assert chat(relay)[-1][0] == "done"
    assert len(fake_vllm.requests) == 2


@pytest.mark.fake_vllm("reset:after=5")
def test_a_stream_that_breaks_off_ends_with_an_error_event(relay: str) -> None:
    *tokens, (kind, data) = chat(relay)
    assert tokens
    assert kind == "error"
    assert set(data["error"]) == {"type", "message"}


def test_a_body_over_the_limit_does_not_reach_the_model_server(
    relay: str, fake_vllm: FakeVllm
) -> None:
    with client() as http:
        assert http.post(f"{relay}/chat", json={"question": "?" * 100_000}).status_code == 413
    assert not fake_vllm.requests
