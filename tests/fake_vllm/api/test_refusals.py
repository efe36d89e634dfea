"""Requests that vLLM refuses, in its order and its words, beyond those of the transcripts."""

import time
from typing import Any

import pytest

from fake_vllm import api
from tests.fake_vllm.api.ask import (
    HELLO,
    PARSER,
    PLAIN,
    accept,
    chat,
    completion,
    events,
    refusal,
    whole,
)

NAMED = {"type": "function", "function": {"name": "f"}}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("more", "param", "says"),
    [
        ({"temperature": -0.5}, "temperature", "must be non-negative, got -0.5"),
        ({"top_p": 0}, "top_p", "top_p must be in (0, 1], got 0.0. (parameter=top_p, value=0.0)"),
        ({"min_p": 2}, None, "min_p must be in [0, 1], got 2.0."),
        ({"presence_penalty": 3}, None, "presence_penalty must be in [-2, 2], got 3.0."),
        ({"repetition_penalty": 0}, None, "must be greater than zero"),
        ({"max_tokens": 40_000}, "max_tokens", "cannot be greater than max_model_len=32768"),
        (
            {"max_completion_tokens": 40_000},
            "max_completion_tokens",
            "max_completion_tokens=40000 cannot",
        ),
        ({"min_tokens": -1}, None, "must be greater than or equal to 0"),
        ({"stop": ["a", ""]}, None, "stop cannot contain an empty string."),
        ({"bad_words": [""]}, None, "bad_words cannot contain an empty string."),
        ({"logit_bias": {"x": 1}}, "logit_bias", "cannot be converted to integer token IDs: ['x']"),
        (
            {"logit_bias": {"2048": 1}},
            "logit_bias",
            "[2048] in logit_bias contain out-of-vocab token ids. Vocabulary size: 2048",
        ),
        ({"stop_token_ids": [-1]}, "stop_token_ids", "[-1] in stop_token_ids"),
        ({"allowed_token_ids": []}, "allowed_token_ids", "is not None and empty!"),
        ({"logprobs": True, "top_logprobs": -1}, "logprobs", "Requested sample logprobs of 2048"),
        ({"prompt_logprobs": -2}, "prompt_logprobs", "must be a positive value or -1"),
        ({"thinking_token_budget": 5}, None, "reasoning_config is not configured"),
        ({"cache_salt": "a/b"}, "cache_salt", "must not contain '@'"),
        ({"chat_template": "x"}, None, "untrusted chat template"),
        (
            {"truncate_prompt_tokens": 40_000},
            "truncate_prompt_tokens",
            "cannot be greater than max_model_len = 32768",
        ),
        ({"n": 0}, None, "n must be at least 1, got 0."),
        ({"n": 2, "temperature": 0}, None, "n must be 1 when using greedy sampling, got 2."),
        ({"structured_outputs": {"choice": []}}, None, "Choice '[]' cannot be an empty list"),
        ({"structured_outputs": {"json": "{"}}, None, "Invalid JSON grammar specification."),
        ({"structured_outputs": {"json": {"type": "x"}}}, None, "Grammar error: Invalid type: x"),
        ({"structured_outputs": {"regex": "("}}, None, "error: unclosed group"),
        ({"structured_outputs": {"grammar": "x"}}, None, "Invalid grammar specification"),
        ({"continue_final_message": True}, None, "are not compatible"),
        ({"continue_final_message": True, "add_generation_prompt": True}, None, "Cannot set both"),
    ],
)
def test_a_parameter_out_of_range(more: dict[str, Any], param: str | None, says: str) -> None:
    status, type, told, message = refusal(lambda: chat(**more))
    assert (status, type, told) == (400, "BadRequestError", param)
    assert says in message


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ({"model": "nope", "temperature": -1}, "does not exist"),
        ({"model": "nope", "temperature": "x"}, "1 validation error"),
        ({"temperature": -1, "top_p": 2, "n": 0}, "n must be at least 1"),
        ({"messages": [], "temperature": -1}, "empty conversation"),
        ({"stream_options": {"include_usage": True}, "n": "x"}, "Stream options"),
        ({"tools": [], "top_logprobs": "x"}, "`tools` must not be an empty array"),
        ({"max_tokens": 40_000, "messages": []}, "max_tokens=40000"),
    ],
)
def test_the_error_names_the_fault_that_vllm_finds_first(more: dict[str, Any], first: str) -> None:
    assert first in refusal(lambda: chat(**more))[3]


def test_an_error_lists_ten_faults_and_counts_the_rest() -> None:
    _, type, param, message = refusal(
        lambda: accept(api.chat, {"messages": [{"role": "user", "content": 5}]})
    )
    assert (type, param) == (
        "Bad Request",
        "body.messages.0.ChatCompletionDeveloperMessageParam.content",
    )
    assert message.startswith("22 validation errors:\n")
    assert message.endswith("\n  ...and 12 more errors")
    assert message.count("'loc'") == 10


def test_an_error_quotes_a_body_only_in_part() -> None:
    _, _, _, message = refusal(lambda: accept(api.chat, {**HELLO, "n": "x" * 10_000}))
    assert f"'{'x' * 200}...[truncated]'" in message


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("application/json ; x", b"{}", "Unsupported Media Type"),
        ("application/vnd.api+json", b"{bad", "JSON decode error"),
        ("text/plain", b"{bad", "Unsupported Media Type"),
        ("application/json", b"null", "Field required"),
        ("application/json", b"[]", "valid dictionary or object to extract fields from"),
        ("application/json", b'"\xff"', "There was an error parsing the body"),
        ("application/json", b"[" * 100_000, "There was an error parsing the body"),
        ("APPLICATION/JSON; charset=utf-8", b"{}", "body.messages"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(
    content_type: str, body: bytes, says: str
) -> None:
    status, type, _, message = refusal(lambda: api.chat(PLAIN, content_type, body, None))
    assert (status, type) == (400, "Bad Request")
    assert says in message


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
                    ],
                }
            ],
            "not a multimodal model",
        ),
        (
            [{"role": "user", "content": [{"type": "zzz"}]}],
            "8 validation errors for ValidatorIterator",
        ),
        (
            [
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "1", "type": "custom", "custom": {"input": "", "name": ""}}
                    ],
                }
            ],
            "of type 'function'",
        ),
        ([{"role": "user", "content": "\ud800"}], "TextEncodeInput must be"),
        (None, "'NoneType' object is not iterable"),
    ],
)
def test_messages_that_cannot_be_read(messages: Any, says: str) -> None:
    assert says in refusal(lambda: chat(messages=messages))[3]


def test_a_request_that_crashes_vllm_is_a_500() -> None:
    status, type, _, message = refusal(lambda: chat(structured_outputs="x"))
    assert (status, type, message) == (
        500,
        "InternalServerError",
        "'str' object has no attribute 'get'",
    )


class TestLength:
    def test_a_prompt_that_is_far_too_long_is_refused_unread(self) -> None:
        start = time.perf_counter()
        _, _, param, message = refusal(lambda: completion(prompt="Hello " * 2_000_000))
        assert param == "input_text"
        assert "more than 425984 characters" in message
        assert time.perf_counter() - start < 5, "it takes 0.1 s; the bound is for slow machines"

    def test_a_prompt_that_is_too_long_is_counted_only_to_the_limit(self) -> None:
        assert (
            "at least 32769 input tokens"
            in refusal(lambda: completion(prompt="Hello " * 60_000))[3]
        )
        assert (
            "contains 40000 input tokens" in refusal(lambda: completion(prompt=[300] * 40_000))[3]
        )

    def test_a_prompt_that_fills_the_context_leaves_no_token(self) -> None:
        assert (
            "max_tokens must be at least 1, got 0."
            in refusal(lambda: completion(prompt=[300] * 32_768))[3]
        )

    def test_one_token_less_leaves_one(self) -> None:
        answer = whole(completion(prompt=[300] * 32_767))
        assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (
            1,
            "length",
        )

    @pytest.mark.parametrize(("side", "kept"), [(None, [300, 301]), ("left", [302, 303])])
    def test_a_prompt_can_be_cut_to_length(self, side: str | None, kept: list[int]) -> None:
        request = completion(
            prompt=[300, 301, 302, 303],
            truncate_prompt_tokens=2,
            truncation_side=side,
            return_token_ids=True,
        )
        assert whole(request)["choices"][0]["prompt_token_ids"] == kept


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ([], "You must pass at least one prompt"),
        ([[]], "The decoder prompt cannot be empty"),
        ("", "Either prompt or prompt_embeds must be provided and non-empty."),
        ([2048], "Token id 2048 is out of vocabulary"),
        (["a"] * 1025, "exceeds the maximum allowed count of 1024"),
        (["a", 5], "validation errors"),
    ],
)
def test_values_that_are_not_prompts_are_refused(prompt: Any, says: str) -> None:
    assert says in refusal(lambda: completion(prompt=prompt))[3]


class TestStreams:
    @pytest.mark.parametrize("how", [chat, completion])
    def test_an_engine_error_is_an_event_in_a_stream(self, how: Any) -> None:
        request = how(stream=True, logit_bias={"9999": 1})
        assert request.choices == 0
        error, done = events(request)
        assert done == "[DONE]"
        assert error == {
            "error": {
                "message": "token_id(s) [9999] in logit_bias contain out-of-vocab token ids. Vocabulary size: 2048 "
                "(parameter=logit_bias, value=[9999])",
                "type": "BadRequestError",
                "param": "logit_bias",
                "code": 400,
            }
        }
        assert b'{"error": {"message": ' in request.writer(request.plan()).end()[0], (
            "the one JSON with spaces"
        )

    def test_an_error_before_the_engine_is_an_answer_of_its_own(self) -> None:
        assert refusal(lambda: chat(stream=True, temperature=-1))[0] == 400


class TestTools:
    @pytest.mark.parametrize(
        ("choice", "says"),
        [("auto", '"auto" tool choice requires'), (NAMED, 'function "f" requires')],
    )
    def test_without_a_parser_no_tool_is_called(self, choice: Any, says: str) -> None:
        assert says in refusal(lambda: chat(tools=[TOOL], tool_choice=choice))[3]
        assert (
            accept(
                api.chat, {**HELLO, "tools": [TOOL], "tool_choice": choice}, rules=PARSER
            ).choices
            == 1
        )

    def test_tools_are_ignored_if_no_call_is_allowed(self) -> None:
        assert whole(chat(tools=[TOOL], tool_choice="none"))["choices"][0]["message"]["content"]


class TestResponses:
    def test_no_response_is_stored(self) -> None:
        refused = api.unknown_response("resp_1")
        assert (refused.status, refused.body["error"]["message"]) == (
            404,
            "Response with id 'resp_1' not found.",
        )
        going_on = {"input": "x", "previous_response_id": "resp_1"}
        assert refusal(lambda: accept(api.response, going_on))[:3] == (
            404,
            "invalid_request_error",
            "response_id",
        )

    def test_an_impossible_query_is_reported_first(self) -> None:
        assert (
            refusal(lambda: api.unknown_response("x", {"starting_after": "y"}))[2]
            == "query.starting_after"
        )
        assert api.unknown_response("x", {"starting_after": "5", "stream": "true"}).status == 404

    @pytest.mark.parametrize(
        ("more", "param"),
        [
            ({"background": True}, "background"),
            ({"prompt": {"id": "x"}}, "prompt"),
            ({"tool_choice": "required"}, "tool_choice"),
        ],
    )
    def test_features_that_only_openai_has_are_refused(
        self, more: dict[str, Any], param: str
    ) -> None:
        assert refusal(lambda: accept(api.response, {"input": "x", **more}))[2] == param


@pytest.mark.parametrize(
    "tokens", ["[-1]", '["a"]', "[9223372036854775808]", "[1099511627776]", "[1.5]", "null"]
)
def test_numbers_that_are_not_tokens_are_refused(tokens: str) -> None:
    assert (
        refusal(
            lambda: api.detokenize(PLAIN, "application/json", f'{{"tokens": {tokens}}}'.encode())
        )[0]
        == 400
    )


def test_tokens_come_back_as_text() -> None:
    told = api.tokenize(
        PLAIN, "application/json", b'{"prompt": "Hello world", "return_token_strs": true}'
    )
    assert (told["count"], told["token_strs"]) == (2, ["Hello", "\u0120world"])
    assert api.detokenize(
        PLAIN, "application/json", str(told | {"token_strs": 0}).replace("'", '"').encode()
    ) == {"prompt": "Hello world"}
