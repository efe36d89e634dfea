"""The answers to a client whose time is up."""

import pytest
from fake_vllm.testing import FakeVllm

from relay.settings import Settings
from serving import QUESTION, chat, client, serving


@pytest.mark.fake_vllm("endless")
def test_before_the_first_byte_it_is_a_status(relay: str, fake_vllm: FakeVllm) -> None:
    with client() as http:
        answer = http.post(f"{relay}/answer", json=QUESTION, headers={"X-Timeout-Ms": "400"})
    assert answer.status_code == 504
    assert answer.json()["error"]["type"] == "deadline_exceeded"
    assert (
        fake_vllm.until_freed().tokens < 500
    )  # 100 tokens a second, so nothing else would end it within 20 s


@pytest.mark.fake_vllm("endless")
def test_in_a_stream_it_is_the_last_event(relay: str, fake_vllm: FakeVllm) -> None:
    *tokens, (kind, data) = chat(relay, timeout_ms=1500)
    assert tokens
    assert {kind for kind, _ in tokens} == {"token"}
    assert (kind, data["error"]["type"]) == ("error", "deadline_exceeded")
    assert fake_vllm.until_freed().tokens < 500


@pytest.mark.fake_vllm("endless")
def test_no_client_gets_more_than_the_maximum(fake_vllm: FakeVllm) -> None:
    with serving(Settings(fake_vllm.base_url, fake_vllm.model, max_timeout=1.5)) as relay:
        assert chat(relay, timeout_ms=60_000)[-1][0] == "error"
        assert chat(relay)[-1][0] == "error"


@pytest.mark.fake_vllm("stall:after=5")
def test_a_model_that_falls_silent_ends_the_call_early(fake_vllm: FakeVllm) -> None:
    with serving(Settings(fake_vllm.base_url, fake_vllm.model, idle_timeout=1.0)) as relay:
        *tokens, (kind, data) = chat(relay)
    assert len(tokens) == 5
    assert kind == "error"
    assert "idle_timeout" in data["error"]["message"]
