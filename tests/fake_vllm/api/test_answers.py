"""Optional parts of an answer, and their places in it."""

import json
import tracemalloc
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import pytest

from fake_vllm import api
from fake_vllm.model.text_piece import Piece
from tests.fake_vllm.api.ask import HELLO, PARSER, accept, chat, completion, events, whole

USAGE = {"stream": True, "stream_options": {"include_usage": True}}
CONTINUOUS = {
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}
SAID = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "The answer is"}]


def said(stream: list[Any]) -> str:
    return "".join(
        event["choices"][0]["delta"].get("content") or ""
        for event in stream
        if event != "[DONE]" and event["choices"]
    )


@pytest.mark.parametrize(
    "more",
    [{}, {"stop": ["z"]}, {"stream_interval": 3}, {"logprobs": True}, {"return_token_ids": True}],
)
def test_a_stream_has_the_same_content_as_a_whole_answer(more: dict[str, Any]) -> None:
    assert (
        said(events(chat(stream=True, **more)))
        == whole(chat(**more))["choices"][0]["message"]["content"]
    )


@pytest.mark.parametrize(
    ("accepts", "prefix"),
    [
        (lambda **how: accept(api.chat, {**HELLO, **how.pop("body", {})}, **how), "chatcmpl-"),
        (
            lambda **how: accept(api.completion, {"prompt": "a", **how.pop("body", {})}, **how),
            "cmpl-",
        ),
    ],
)
def test_the_header_names_an_answer_then_the_body_then_chance(accepts: Any, prefix: str) -> None:
    assert accepts(header="a", body={"request_id": "b"}).id == f"{prefix}a"
    assert accepts(body={"request_id": "b"}).id == f"{prefix}b"
    assert accepts().id != accepts().id
    assert len(accepts().id) == len(prefix) + 16


def test_a_response_is_named_by_its_body_alone() -> None:
    assert accept(api.response, {"input": "a", "request_id": "b"}, header="c").id == "b"
    assert accept(api.response, {"input": "a"}, header="c").id.startswith("resp_")


class TestUsage:
    def test_each_event_has_the_counts_if_the_request_asks_for_them(self) -> None:
        role, *tokens, total, _ = events(chat(**CONTINUOUS))
        assert list(role)[-3:] == ["usage", "prompt_token_ids", "prompt_text"]
        assert [event["usage"]["completion_tokens"] for event in (role, *tokens, total)] == [
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            6,
        ]
        assert all("completion_tokens_details" in event["usage"] for event in tokens)
        assert "completion_tokens_details" not in total["usage"]

    def test_each_choice_has_its_own_count_and_the_last_event_has_the_sum(self) -> None:
        *told, total, _ = events(completion(prompt=["a", "a the"], n=2, **CONTINUOUS))
        assert total["usage"]["completion_tokens"] == 24
        assert total["usage"]["prompt_tokens"] == 3
        last = {event["choices"][0]["index"]: event["usage"] for event in told}
        assert [last[index]["completion_tokens"] for index in range(4)] == [6] * 4
        assert [last[index]["prompt_tokens"] for index in range(4)] == [1, 1, 2, 2]

    def test_the_last_event_with_json_has_the_fingerprint(self) -> None:
        for more, last in ((USAGE, -2), ({"stream": True}, -2)):
            told = events(chat(**more))
            assert ["system_fingerprint" in event for event in told[:-1]] == [
                at == len(told) + last for at in range(len(told) - 1)
            ]

    def test_details_of_prompt_tokens_appear_if_the_server_is_set_to_send_them(self) -> None:
        rules = api.Rules("tiny", prompt_tokens_details=True)
        request = accept(api.chat, {**HELLO, "max_tokens": 2}, rules=rules)
        assert whole(request)["usage"]["prompt_tokens_details"] == {
            "cached_tokens": 0,
            "created_cache_tokens": 0,
            "multimodal_tokens": None,
        }
        request = accept(api.completion, {"prompt": "a", "max_tokens": 2, **USAGE}, rules=rules)
        assert events(request)[-2]["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


class TestTokens:
    def test_prompt_ids_come_first_and_answer_ids_come_with_their_text(
        self,
    ) -> None:
        role, *tokens, _ = events(chat(stream=True, return_token_ids=True, return_prompt_text=True))
        tokenized = api.tokenize(api.Rules("tiny"), "application/json", json.dumps(HELLO).encode())
        assert role["prompt_token_ids"] == tokenized["tokens"]
        assert role["prompt_text"] == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        ids = [event["choices"][0]["token_ids"] for event in tokens]
        assert [len(one) for one in ids] == [1] * 6
        assert list(chain(*ids)) == whole(chat(return_token_ids=True))["choices"][0]["token_ids"]

    @pytest.mark.parametrize(
        ("interval", "counts"), [(4, [1, 4, 1]), (1, [1] * 6), (100, [1, 5]), (None, [1] * 6)]
    )
    def test_n_tokens_share_an_event_except_the_first_and_the_last(
        self, interval: int | None, counts: list[int]
    ) -> None:
        _, *tokens, _ = events(chat(stream=True, return_token_ids=True, stream_interval=interval))
        assert [len(event["choices"][0]["token_ids"]) for event in tokens] == counts

    def test_beams_are_sent_when_they_end(self) -> None:
        told = events(
            chat(stream=True, use_beam_search=True, n=2, temperature=0, return_token_ids=True)
        )
        assert [len(event["choices"][0].get("token_ids", ())) for event in told[:-1]] == [
            0,
            0,
            6,
            6,
        ]

    def test_several_tokens_in_a_plain_event_are_counted_as_several(self) -> None:
        request = chat(**USAGE)
        writer = request.writer(request.plan())
        writer.event(0, Piece("a b", (300, 301)))
        assert json.loads(writer.end()[0][6:])["usage"]["completion_tokens"] == 2

    def test_one_event_can_have_the_ids_of_several_tokens(self) -> None:
        writer = chat(
            stream=True, return_token_ids=True, **{"stream_options": {"include_usage": True}}
        ).writer(chat().plan())
        writer.begin()
        event = json.loads(writer.event(0, Piece("a b", (300, 301)))[6:])
        assert event["choices"][0]["token_ids"] == [300, 301]
        assert json.loads(writer.end()[0][6:])["usage"]["completion_tokens"] == 2


class TestLogprobs:
    def test_a_chat_has_logprobs(self) -> None:
        told = whole(chat(logprobs=True, top_logprobs=3))["choices"][0]
        assert (
            "".join(one["token"] for one in told["logprobs"]["content"])
            == told["message"]["content"]
        )
        for one in told["logprobs"]["content"]:
            assert bytes(one["bytes"]).decode() == one["token"] == one["top_logprobs"][0]["token"]
            assert len({other["token"] for other in one["top_logprobs"]}) == 3
            assert one["logprob"] >= max(other["logprob"] for other in one["top_logprobs"])

    def test_tokens_may_be_shown_as_ids(self) -> None:
        told = whole(chat(logprobs=True, return_tokens_as_token_ids=True, return_token_ids=True))[
            "choices"
        ][0]
        assert [one["token"] for one in told["logprobs"]["content"]] == [
            f"token_id:{id}" for id in told["token_ids"]
        ]

    def test_the_client_can_name_the_tokens_of_its_logprobs(self) -> None:
        told = whole(chat(logprobs=True, logprob_token_ids=[300, 301]))["choices"][0]["logprobs"][
            "content"
        ][0]
        assert len(told["top_logprobs"]) == 3

    def test_a_completion_has_logprobs_with_the_offsets_of_its_tokens(self) -> None:
        choice = whole(completion(logprobs=2))["choices"][0]
        told = choice["logprobs"]
        assert [
            choice["text"][at:].startswith(token)
            for at, token in zip(told["text_offset"], told["tokens"], strict=True)
        ] == [True] * 6
        assert [len(one) for one in told["top_logprobs"]] == [2] * 6

    def test_offsets_continue_from_event_to_event(self) -> None:
        told = [
            event["choices"][0]["logprobs"]["text_offset"]
            for event in events(completion(logprobs=0, stream=True))[:-1]
        ]
        assert (
            list(chain(*told))
            == whole(completion(logprobs=0))["choices"][0]["logprobs"]["text_offset"]
        )

    def test_an_echoed_prompt_has_logprobs_except_for_its_first_token(self) -> None:
        told = whole(completion(echo=True, logprobs=1))["choices"][0]["logprobs"]
        assert len(told["tokens"]) == 2 + 6
        assert told["token_logprobs"].index(None) == 0
        assert told["token_logprobs"].count(None) == 1

    def test_a_prompt_has_logprobs(self) -> None:
        told = whole(chat(prompt_logprobs=2))["prompt_logprobs"]
        assert told[0] is None
        assert all(len(place) == 3 for place in told[1:])
        assert [one["rank"] for one in list(told[1].values())[1:]] == [1, 2]


class TestEcho:
    def test_a_completion_begins_with_its_prompt(self) -> None:
        assert whole(completion(echo=True))["choices"][0]["text"].startswith("Hello world")
        first, *rest = events(completion(echo=True, stream=True))[:-1]
        assert first["choices"][0]["text"].startswith("Hello world")
        assert first["choices"][0]["prompt_token_ids"]
        assert all(event["choices"][0]["prompt_token_ids"] is None for event in rest)

    def test_zero_tokens_show_only_the_prompt_although_one_token_is_made(self) -> None:
        answer = whole(completion(echo=True, max_tokens=0))
        assert (answer["choices"][0]["text"], answer["usage"]["completion_tokens"]) == (
            "Hello world",
            1,
        )
        told = whole(completion(echo=True, max_tokens=0, logprobs=1))["choices"][0]["logprobs"]
        assert told["tokens"] == ["Hello", " world"]

    def test_a_chat_goes_on_from_its_last_message(self) -> None:
        request = {
            "messages": SAID,
            "echo": True,
            "add_generation_prompt": False,
            "continue_final_message": True,
        }
        assert whole(chat(**request))["choices"][0]["message"]["content"].startswith(
            "The answer is"
        )
        role, echoed, first, *_ = events(chat(stream=True, **request))
        assert (role["choices"][0]["delta"]["role"], echoed["choices"][0]["delta"]) == (
            "assistant",
            {"content": "The answer is"},
        )
        assert "token_ids" not in echoed["choices"][0]
        assert "token_ids" in first["choices"][0]

    def test_the_role_is_that_of_the_last_message_if_no_answer_has_begun(self) -> None:
        assert whole(chat(add_generation_prompt=False))["choices"][0]["message"]["role"] == "user"


class TestToolServer:
    """A server with a tool parser sends no event without text."""

    def test_an_empty_token_sends_no_event_and_an_empty_end_sends_an_empty_delta(self) -> None:
        request = {
            **HELLO,
            "max_tokens": 4,
            "logit_bias": {"2": 100},
            "ignore_eos": True,
            "stream": True,
        }
        assert len(events(accept(api.chat, request))) == 1 + 4 + 1
        _, finish, _ = events(accept(api.chat, request, rules=PARSER))
        assert finish["choices"][0]["delta"] == {}

    def test_an_empty_token_sends_an_event_if_its_ids_are_requested(self) -> None:
        request = {
            **HELLO,
            "max_tokens": 4,
            "logit_bias": {"2": 100},
            "ignore_eos": True,
            "stream": True,
            "return_token_ids": True,
        }
        assert [
            event["choices"][0]["delta"]
            for event in events(accept(api.chat, request, rules=PARSER))[1:-1]
        ] == [{}] * 4


class TestResponses:
    def test_events_are_numbered_and_an_item_is_opened_and_closed(self) -> None:
        told = events(accept(api.response, {"input": "a", "max_output_tokens": 3, "stream": True}))
        assert [event["sequence_number"] for event in told] == list(range(len(told)))
        assert [event["type"].removeprefix("response.") for event in told] == [
            *("created", "in_progress", "output_item.added", "content_part.added"),
            *["output_text.delta"] * 3,
            *("output_text.done", "content_part.done", "output_item.done", "completed"),
        ]
        assert told[-1]["response"]["output"][0] == told[-2]["item"]

    def test_a_tool_call_is_an_item_of_its_own(self) -> None:
        tool = {"type": "function", "name": "ping"}
        request = {"input": "ping", "tools": [tool], "stream": True}
        told = events(accept(api.response, request, rules=PARSER))
        [call] = told[-1]["response"]["output"]
        assert (call["name"], call["arguments"], call["type"]) == ("ping", "{}", "function_call")
        [same] = whole(accept(api.response, {**request, "stream": False}, rules=PARSER))["output"]
        assert call == {**same, "id": call["id"], "call_id": call["call_id"]}

    def test_input_and_output_are_shown_if_the_request_asks_for_them(self) -> None:
        told = whole(
            accept(
                api.response,
                {"input": "a", "max_output_tokens": 3, "enable_response_messages": True},
            )
        )
        assert told["output_messages"][0]["message"] == told["output"][0]["content"][0]["text"]
        assert len(told["output_messages"][0]["tokens"]) == 3


@pytest.mark.parametrize(
    "how", [chat, completion, lambda **more: accept(api.response, {"input": "a", **more})]
)
def test_an_endless_stream_needs_no_more_memory(how: Any) -> None:
    request = how(stream=True)
    plan = replace(request.plan(), eos_after=None, context=None, max_tokens=None)
    writer = request.writer(plan)
    sum(len(writer.event(0, piece)) for piece in islice(writer.sequences[0], 500))
    tracemalloc.start()
    sum(len(writer.event(0, piece)) for piece in islice(writer.sequences[0], 10_000))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000


def test_an_event_can_be_made_for_a_text_that_no_token_has() -> None:
    for request in (chat(stream=True), completion(stream=True)):
        writer = request.writer(request.plan())
        assert b'""' in writer.text_event("")
        assert b"something" in writer.text_event("something")


def test_the_scenario_is_taken_from_the_body() -> None:
    assert chat(fake_scenario="endless").scenario == "endless"
    assert chat().scenario is None


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_and_n_are_read_from_the_body(field: str) -> None:
    request = accept(api.chat, {**HELLO, field: 5, "n": 2})
    assert (request.max_tokens, request.n, request.choices, request.prompt_tokens) == (5, 2, 2, 9)
