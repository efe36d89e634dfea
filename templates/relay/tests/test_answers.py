"""The answers to a client when nothing fails."""

import pytest
from fake_vllm.testing import FakeVllm

from relay.settings import Settings
from serving import QUESTION, chat, client, events, serving


def test_an_answer_in_one_piece(relay: str, fake_vllm: FakeVllm) -> None:
    with client() as http:
        answer = http.post(f"{relay}/answer", json=QUESTION)
    assert answer.status_code == 200
    assert answer.json()["text"]
    assert answer.json()["finish_reason"] == "stop"
    assert fake_vllm.until_over().end == "finished"


def test_a_stream_is_tokens_and_then_done(relay: str) -> None:
    with client() as http:
        whole = http.post(f"{relay}/answer", json=QUESTION).json()["text"]
    *tokens, last = chat(relay)
    assert len(tokens) > 3
    assert {kind for kind, _ in tokens} == {"token"}
    assert last == ("done", {"finish_reason": "stop"})
    assert "".join(text for _, text in tokens) == whole


@pytest.mark.fake_vllm("endless")
def test_tokens_arrive_while_the_model_still_generates(relay: str, fake_vllm: FakeVllm) -> None:
    with client() as http, http.stream("POST", f"{relay}/chat", json=QUESTION) as answer:
        coming = events(answer)
        assert [next(coming)[0] for _ in range(5)] == ["token"] * 5
        assert fake_vllm.until_started().end == "running"


@pytest.mark.fake_vllm("endless")
def test_an_endless_model_ends_at_its_limit_of_tokens(fake_vllm: FakeVllm) -> None:
    with serving(Settings(fake_vllm.base_url, fake_vllm.model, max_tokens=7)) as relay:
        assert chat(relay)[-1] == ("done", {"finish_reason": "length"})


def test_the_page(relay: str) -> None:
    with client() as http:
        page = http.get(relay)
    assert page.headers["content-type"].startswith("text/html")
    assert "Ask the model" in page.text
    for outside in (
        "src=",
        "@import",
        "url(",
        "http://",
        "https://",
    ):  # it works where there is no other server
        assert outside not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json"])
def test_a_stranger_gets_no_description_of_the_service(relay: str, path: str) -> None:
    with client() as http:
        assert http.get(f"{relay}/{path}").status_code == 404


@pytest.mark.parametrize("path", ["/answer", "/chat"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"question": NaN}',
        b'{"question": "\\ud800"}',
        b'{"question": [1e999]}',
        b"{",
        b"{}",
        b"\xff",
    ],
)
def test_a_question_that_cannot_be_repeated_as_json_is_refused_in_json(
    relay: str, fake_vllm: FakeVllm, path: str, body: bytes
) -> None:
    with client() as http:
        answer = http.post(
            f"{relay}{path}", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code in {400, 422}
    assert answer.json()["detail"]
    assert not fake_vllm.requests


def test_health_makes_no_request_and_ready_asks_the_model(relay: str) -> None:
    down = Settings("http://127.0.0.1:9/v1", "no-model")
    with client() as http, serving(down) as alone:
        assert http.get(f"{alone}/health").status_code == 200
        assert http.get(f"{alone}/ready").status_code == 503
        assert http.get(f"{relay}/ready").status_code == 200
