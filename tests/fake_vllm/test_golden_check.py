"""The checker finds each difference to a transcript, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fake_vllm.golden_check import CASES, FOLDER, Received, problems


def case(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def answer(recorded: dict[str, Any]) -> Received:
    response = recorded["response"]
    return Received(
        response["status"],
        dict(response["headers"]),
        response.get("body", ""),
        response.get("chunks"),
        response.get("cut", False),
    )


def test_no_transcript_has_a_difference_to_itself() -> None:
    recorded = [json.loads(path.read_text(encoding="utf-8")) for path in CASES]
    assert [
        (each["name"], said)
        for each in recorded
        if "view" not in each and (said := problems(each, answer(each)))
    ] == []


def test_text_counts_and_ids_may_differ() -> None:
    recorded = case("chat_basic")
    got = answer(recorded)
    body = json.loads(got.body)
    body["id"] = "chatcmpl-0123456789abcdef"
    body["choices"][0]["message"]["content"] = "Something else"
    body["usage"] |= {"prompt_tokens": 5, "total_tokens": 17}
    got.body = json.dumps(body, separators=(",", ":"))
    assert problems(recorded, got) == []


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (
            "chat_basic",
            lambda body: body.replace('"object":"chat.completion"', '"object":"x"'),
            "body.object",
        ),
        ("chat_basic", lambda body: body.replace('"service_tier":null,', ""), "keys"),
        (
            "chat_basic",
            lambda body: body.replace(
                '"refusal":null,"annotations":null', '"annotations":null,"refusal":null'
            ),
            "keys",
        ),
        (
            "chat_basic",
            lambda body: body.replace('"stop_reason":null', '"stop_reason":"x"'),
            "stop_reason",
        ),
        (
            "chat_basic",
            lambda body: body.replace('"completion_tokens":12', '"completion_tokens":11'),
            "completion tokens",
        ),
        ("chat_basic", lambda body: body.replace(":", ": "), "not compact"),
        (
            "chat_basic",
            lambda body: body.replace('"chatcmpl-XXXXXXXXXXXXXXXX"', '"chatcmpl-1"'),
            "body.id",
        ),
        ("cmpl_n2", lambda body: body.replace('"index":1', '"index":"1"'), "index"),
        ("err_top_k", lambda body: body.replace("got -5", "got -6"), "body.error.message"),
        ("err_top_k", lambda body: body.replace("null", '"top_k"'), "param"),
        ("chat_top_logprobs", lambda body: body.replace('"bytes":[', '"bytes":["x",', 1), "bytes"),
        ("chat_prompt_logprobs", lambda body: body.replace('"rank":1,', "", 1), "prompt_logprobs"),
    ],
)
def test_a_body_that_differs_is_found(name: str, change: Callable[[str], str], says: str) -> None:
    recorded = case(name)
    got = answer(recorded)
    got.body = change(got.body)
    assert got.body != recorded["response"]["body"]
    assert says in "\n".join(problems(recorded, got))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda chunks: chunks[1:], "order"),
        (lambda chunks: chunks[:-1], "order"),
        (lambda chunks: [*chunks[:3], chunks[3] + chunks[4], *chunks[5:]], "framing"),
        (lambda chunks: [chunk.replace("data: {", "data: { ") for chunk in chunks], "not compact"),
        (
            lambda chunks: [chunk.replace("data: ", "event: x\ndata: ") for chunk in chunks],
            "framing: lines",
        ),
        (
            lambda chunks: [
                chunk.replace('"finish_reason":"length"', '"finish_reason":"stop"')
                for chunk in chunks
            ],
            "finish_reason",
        ),
        (
            lambda chunks: [
                chunk.replace('"token_ids":null', '"token_ids":[]') for chunk in chunks
            ],
            "token_ids",
        ),
        (
            lambda chunks: [
                chunk.replace('"completion_tokens":12', '"completion_tokens":13')
                for chunk in chunks
            ],
            "usage",
        ),
        (
            lambda chunks: [chunks[0].replace("XXXXXXXXXXXXXXXX", "0000000000000000"), *chunks[1:]],
            "2 ids",
        ),
    ],
)
def test_a_stream_that_differs_is_found(
    change: Callable[[list[str]], list[str]], says: str
) -> None:
    recorded = case("chat_stream_usage")
    got = answer(recorded)
    got.chunks = change(list(got.chunks or []))
    assert says in "\n".join(problems(recorded, got))


def test_anthropics_deltas_may_be_more_or_fewer_but_keep_their_order() -> None:
    recorded = case("reasoning_messages_stream")
    chunks = recorded["response"]["chunks"]
    at = next(at for at, chunk in enumerate(chunks) if "thinking_delta" in chunk)
    got = answer(recorded)
    got.chunks = [*chunks[:at], chunks[at], *chunks[at:]]
    assert problems(recorded, got) == []
    got.chunks = [chunk for chunk in chunks if "signature_delta" not in chunk]
    assert "order" in "\n".join(problems(recorded, got))


def test_a_stream_that_ends_before_its_last_chunk_is_found() -> None:
    recorded = case("chat_stream_usage")
    got = answer(recorded)
    got.cut = True
    assert problems(recorded, got) == ["the end of the body expected"]


def test_a_header_that_differs_is_found() -> None:
    recorded = case("options_request_id_given")
    got = answer(recorded)
    got.headers = got.headers | {"x-request-id": "another"}
    assert "header x-request-id" in "\n".join(problems(recorded, got))
