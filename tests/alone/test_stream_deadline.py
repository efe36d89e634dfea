"""The library without its siblings: a deadline holds with whatever versions are installed."""

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from stream_deadline import (
    ChatVllm,
    Expiry,
    StreamDeadlineExceeded,
    bounded,
    bounded_client,
    bounded_model,
    bounded_sync,
    deadline,
    on_expired,
    prometheus_counter,
    remove_hook,
)

T = 0.3
QUESTION = "Why?"


def model(url: str, **settings: Any) -> ChatVllm:
    return ChatVllm(model="fake-model", base_url=url, api_key="-", **settings)


def chat_openai(url: str) -> ChatOpenAI:
    return ChatOpenAI(model="fake-model", base_url=url, api_key="-")


def test_a_short_answer_arrives_whole(babbling: str) -> None:
    answer = model(babbling, timeout=30, max_tokens=5).invoke(QUESTION)
    assert answer.content
    assert answer.response_metadata["finish_reason"] == "length"


def in_invoke(url: str) -> None:
    model(url, timeout=T).invoke(QUESTION)


def in_stream(url: str) -> None:
    list(model(url, timeout=T).stream(QUESTION))


def in_a_chain(url: str) -> None:
    chain = ChatPromptTemplate.from_messages([("human", "{it}")]) | model(url, timeout=T)

    async def read() -> None:
        async for _ in chain.astream({"it": QUESTION}):
            pass

    asyncio.run(read())


def in_a_batch(url: str) -> None:
    asyncio.run(model(url, timeout=T).abatch([QUESTION, QUESTION]))


def in_a_model_of_langchain(url: str) -> None:
    list(bounded_model(chat_openai(url), timeout=T).stream(QUESTION))


def in_a_block(url: str) -> None:
    with deadline(T):
        list(model(url).stream(QUESTION))


def in_an_iterator(url: str) -> None:
    list(bounded_sync(chat_openai(url).stream(QUESTION), T))


def in_an_asynchronous_iterator(url: str) -> None:
    async def read() -> None:
        async for _ in bounded(chat_openai(url).astream(QUESTION), T):
            pass

    asyncio.run(read())


def in_a_client_of_the_sdk(url: str) -> None:
    client = bounded_client(openai.OpenAI(base_url=url, api_key="-", max_retries=0), timeout=T)
    messages: Any = [{"role": "user", "content": QUESTION}]
    for _ in client.chat.completions.create(model="fake-model", messages=messages, stream=True):
        pass


@pytest.mark.parametrize(
    "call",
    [
        in_invoke,
        in_stream,
        in_a_chain,
        in_a_batch,
        in_a_model_of_langchain,
        in_a_block,
        in_an_iterator,
        in_an_asynchronous_iterator,
        in_a_client_of_the_sdk,
    ],
)
def test_the_deadline_ends_a_model_that_babbles(call: Callable[[str], None], babbling: str) -> None:
    with pytest.raises(StreamDeadlineExceeded) as caught:
        call(babbling)
    assert caught.value.elapsed < 20


def test_the_counter_and_the_hook_hear_of_an_expired_call(babbling: str) -> None:
    prometheus = pytest.importorskip("prometheus_client")
    registry = prometheus.CollectorRegistry()
    heard: list[Expiry] = []
    hooks = [on_expired(heard.append), on_expired(prometheus_counter(registry))]
    try:
        with pytest.raises(StreamDeadlineExceeded):
            in_stream(babbling)
    finally:
        for hook in hooks:
            remove_hook(hook)
    assert len(heard) == 1
    samples = [each for metric in registry.collect() for each in metric.samples]
    assert [each.value for each in samples if each.name.endswith("_total")] == [1.0]
