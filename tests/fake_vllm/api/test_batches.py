"""Batches of chats, and the route that takes chats and completions alike."""

import json
from typing import Any

import pytest

from fake_vllm import api
from fake_vllm.rules import ScriptedAnswer
from tests.fake_vllm.api.ask import PLAIN, accept, plan, refusal, whole

TALKS = [[{"role": "user", "content": text}] for text in ("Hello", "Tell me a longer story")]


def batch(**more: Any) -> api.AcceptedRequest:
    return accept(api.batch, {"messages": TALKS, "max_tokens": 5, **more})


def test_a_batch_has_a_choice_for_each_conversation_and_one_usage() -> None:
    request = batch()
    answer = whole(request)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    alone = [accept(api.chat, {"messages": talk, "max_tokens": 5}) for talk in TALKS]
    texts = [whole(chat)["choices"][0]["message"]["content"] for chat in alone]
    assert [choice["message"]["content"] for choice in answer["choices"]] == texts
    assert answer["usage"]["prompt_tokens"] == sum(chat.prompt_tokens for chat in alone)
    assert answer["usage"]["completion_tokens"] == 10
    assert request.choices == 2


def test_each_conversation_has_the_rest_of_the_context() -> None:
    rules = api.Rules("tiny", max_model_len=30)
    answer = whole(accept(api.batch, {"messages": TALKS}, rules=rules))
    alone = [whole(accept(api.chat, {"messages": talk}, rules=rules)) for talk in TALKS]
    texts = [one["choices"][0]["message"]["content"] for one in alone]
    assert [choice["message"]["content"] for choice in answer["choices"]] == texts
    assert len({one["usage"]["completion_tokens"] for one in alone}) == 2


def test_a_batch_echoes_each_conversation_s_own_last_message() -> None:
    talks = [[*talk, {"role": "assistant", "content": f"{n}:"}] for n, talk in enumerate(TALKS)]
    more = {"add_generation_prompt": False, "continue_final_message": True, "echo": True}
    choices = whole(batch(messages=talks, **more))["choices"]
    assert [choice["message"]["content"][:2] for choice in choices] == ["0:", "1:"]


def test_a_streamed_batch_is_whole_and_has_only_the_last_part() -> None:
    request = batch(stream=True, max_tokens=60)
    assert not request.stream
    shaped = ScriptedAnswer("hello world").shape(plan(request))
    writer = request.writer(shaped)
    for index, sequence in enumerate(writer.sequences):
        for piece in sequence:
            writer.collect(index, piece)
    assert {choice["message"]["content"] for choice in writer.answer()["choices"]} == {""}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"messages": []}, "List should have at least 1 item"),
        ({"messages": [[]]}, "List should have at least 1 item"),
        ({"messages": TALKS[0]}, "Input should be a valid list"),
        ({"n": 2}, "do not support `n > 1`"),
        ({"use_beam_search": True}, "do not support beam search"),
        ({"model": "nope"}, "The model `nope` does not exist"),
        ({"temperature": -1}, "temperature must be non-negative"),
        ({"messages": [*TALKS, [{"role": "user", "content": "x" * 10**6}]]}, "Please reduce"),
    ],
)
def test_one_wrong_part_refuses_a_batch(more: dict[str, Any], says: str) -> None:
    assert says in refusal(lambda: batch(**more))[3]


def invoke(body: object) -> api.AcceptedRequest:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.invocation(PLAIN, "application/json", text, None)


@pytest.mark.parametrize("name", ["tiny", "nope", None])
def test_an_invocation_is_a_chat_or_a_completion_of_any_model(name: str | None) -> None:
    kinds = {
        "chat.completion": {"messages": TALKS[0], "max_tokens": 3},
        "text_completion": {"prompt": "Hello", "max_tokens": 3},
    }
    for kind, body in kinds.items():
        answer = whole(invoke({**body, "model": name}))
        assert (answer["object"], answer["model"]) == (kind, "tiny")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON decode error: Expecting value: line 1 column 1 (char 0)"),
        ([], "list indices must be integers or slices, not str"),
        (3, "argument of type 'int' is not"),
        ({}, "Either prompt or prompt_embeds must be provided"),
        ({"messages": TALKS[0], "max_tokens": "x"}, "Either prompt or prompt_embeds"),
        ({"messages": TALKS[0], "temperature": -1}, "temperature must be non-negative"),
        ({"prompt": "Hello", "n": "x"}, "Expected one of: ['ChatCompletionRequest', "),
    ],
)
def test_an_invocation_that_fits_neither_says_so(body: object, says: str) -> None:
    assert says in refusal(lambda: invoke(body))[3]
