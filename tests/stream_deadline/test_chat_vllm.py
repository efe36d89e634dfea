"""`ChatVllm` has the arguments of the incident's class, and bounds every stream."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from pydantic import SecretStr

from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_lab import Endpoint
from tests.conftest import ledger

LIMIT = 1.0
LATEST = 10.0  # wide: the question is whether it stops, not how fast this machine is
PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])
INPUT = {"question": "Why?"}


def chat(endpoint: Endpoint, **options: Any) -> ChatVllm:
    return ChatVllm(**{**endpoint.settings, "timeout": LIMIT, **options})


async def consume(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


ASYNC_SHAPES: dict[str, Callable[[ChatVllm], AsyncIterator[Any]]] = {
    "model": lambda model: model.astream("Why?"),
    "chain": lambda model: (PROMPT | model).astream(INPUT),
    "chain of four": lambda model: (
        PROMPT | model | RunnableLambda(lambda x: x) | RunnableLambda(lambda x: x)
    ).astream(INPUT),
    "events": lambda model: (PROMPT | model).astream_events(INPUT, version="v2"),
}
SYNC_SHAPES: dict[str, Callable[[ChatVllm], Iterator[Any]]] = {
    "model": lambda model: model.stream("Why?"),
    "chain": lambda model: (PROMPT | model).stream(INPUT),
}


@pytest.mark.parametrize("shape", ASYNC_SHAPES)
def test_an_endless_stream_ends_at_the_deadline_and_the_server_is_free(
    shape: str, fake: Endpoint, http: httpx2.Client
) -> None:
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        asyncio.run(consume(ASYNC_SHAPES[shape](chat(fake))))
    assert LIMIT <= time.monotonic() - started < LATEST
    assert caught.value.limit == LIMIT
    # The fake makes a token every 20 ms, so no more than these can have come before the deadline, however slow this machine is.
    assert 5 < caught.value.chunks <= LIMIT / 0.02 + 3
    freed(fake, http)


@pytest.mark.parametrize("shape", SYNC_SHAPES)
def test_a_synchronous_stream_ends_at_the_deadline_too(
    shape: str, fake: Endpoint, http: httpx2.Client
) -> None:
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded):
        list(SYNC_SHAPES[shape](chat(fake)))
    assert LIMIT <= time.monotonic() - started < LATEST
    freed(fake, http)


def test_a_fresh_task_for_every_chunk_changes_nothing(fake: Endpoint) -> None:
    async def pull() -> None:
        stream = chat(fake).astream("Why?")
        while True:
            await asyncio.create_task(anext(stream))  # type: ignore[arg-type]

    with pytest.raises(StreamDeadlineExceeded):
        asyncio.run(asyncio.wait_for(pull(), LATEST))


def test_each_call_has_a_clock_of_its_own(fake: Endpoint) -> None:
    async def two() -> list[Any]:
        model = chat(fake)

        async def late() -> None:
            await asyncio.sleep(LIMIT * 0.8)
            await consume(model.astream("Why?"))

        started = time.monotonic()
        results = await asyncio.gather(
            consume(model.astream("Why?")), late(), return_exceptions=True
        )
        return [*results, time.monotonic() - started]

    first, second, elapsed = asyncio.run(two())
    assert isinstance(first, StreamDeadlineExceeded)
    assert isinstance(second, StreamDeadlineExceeded)
    assert second.elapsed >= LIMIT
    assert elapsed >= LIMIT * 1.8


def test_a_finite_answer_comes_through_untouched_with_its_usage(fake: Endpoint) -> None:
    model = chat(
        fake, timeout=30, extra_body={"fake_scenario": "finite:tokens=4"}, stream_usage=True
    )
    whole = model.invoke("Why?")
    streamed = None
    for chunk in model.stream("Why?"):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed is not None
    assert streamed.content == whole.content
    assert streamed.usage_metadata is not None
    assert streamed.usage_metadata["output_tokens"] == 5
    assert streamed.response_metadata["finish_reason"] == "stop"


def test_no_timeout_means_no_bound(fake: Endpoint) -> None:
    model = chat(fake, timeout=None, max_tokens=40)
    assert len(list(model.stream("Why?"))) >= 40


def test_stream_timeout_is_the_total_and_timeout_is_its_default() -> None:
    assert whole_of(ChatVllm(model="m", timeout=45)) == 45
    assert whole_of(ChatVllm(model="m", request_timeout=7)) == 7
    assert whole_of(ChatVllm(model="m", timeout=45, stream_timeout=90)) == 90
    assert whole_of(ChatVllm(model="m", timeout=45, stream_timeout=None)) is None
    assert whole_of(ChatVllm(model="m")) is None


def whole_of(model: ChatVllm) -> float | None:
    return model._bounds({}, parts=False).timeout


@pytest.mark.parametrize("bound", [0, -1, 0.0, math.nan, math.inf, True, "45", [45]])
@pytest.mark.parametrize(
    "name", ["timeout", "stream_timeout", "first_chunk_timeout", "idle_timeout"]
)
def test_a_value_that_is_not_a_bound_is_refused_when_the_model_is_made(
    name: str, bound: Any
) -> None:
    with pytest.raises(ValueError, match=r"must be a (positive )?number of seconds"):
        ChatVllm(model="m", **{name: bound})


@pytest.mark.parametrize("name", ["first_chunk_timeout", "idle_timeout"])
def test_a_part_that_is_longer_than_the_whole_is_refused_when_the_model_is_made(name: str) -> None:
    with pytest.raises(ValueError, match="could never act"):
        ChatVllm(model="m", timeout=10, **{name: 11})


def test_a_timeout_that_is_not_a_number_needs_a_stream_timeout() -> None:
    with pytest.raises(ValueError, match="pass stream_timeout"):
        ChatVllm(model="m", timeout=(3.0, 5.0))
    assert ChatVllm(model="m", timeout=(3.0, 5.0), stream_timeout=9).stream_timeout == 9


def test_the_key_is_from_the_environment_or_a_placeholder_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = ChatVllm(model="m")
    assert isinstance(model.openai_api_key, SecretStr)
    assert model.openai_api_key.get_secret_value() == "vllm-only-base-model"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something-secret")
    model = ChatVllm(model="m")
    assert isinstance(model.openai_api_key, SecretStr)
    assert model.openai_api_key.get_secret_value() == "sk-something-secret"
    assert "something-secret" not in repr(model)


def freed(endpoint: Endpoint, client: httpx2.Client) -> None:
    """The fake's ledger says that the client left, soon."""
    until = time.monotonic() + LATEST
    while (entry := ledger(client, endpoint)[-1])["end"] == "running":
        assert time.monotonic() < until, "the server is still generating"
        time.sleep(0.02)
    assert entry["end"] == "client left"
