"""The deadline against a real vLLM, in every call of the matrix, by its gauges."""

import asyncio
import inspect
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_lab import Endpoint
from stream_lab.matrix import CALLERS, CALLS, Call, Caller
from stream_lab.matrix.calls import text_and_usage
from tests.real.at_rest import at_rest_afterwards
from tests.real.conftest import NAMED, OPTIONS, own_vllm

LIMIT = 2.0
LATEST = 1.0
IN_TIME = 90.0  # seconds for eight tokens, which take 0.1 s on a machine without other work


@pytest.fixture(scope="module")
def tooled(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """A vLLM that takes tools. One that was named may not."""
    if NAMED:
        yield request.getfixturevalue("server")
        return
    with own_vllm(*OPTIONS) as url, Endpoint(url) as endpoint:
        # The first answer of a new vLLM takes seconds on a busy machine.
        model(endpoint, IN_TIME, max_tokens=1).invoke("Why?")
        yield endpoint


def model(server: Endpoint, timeout: float, **more: Any) -> ChatVllm:
    return ChatVllm(**{**server.settings, "timeout": timeout, "stream_usage": True, **more})


def called(call: Call, model: ChatVllm) -> Any:
    return asyncio.run(call.run(model)) if call.is_async else call.run(model)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_an_endless_answer_ends_at_the_deadline_and_vllm_is_idle(
    call: Call, tooled: Endpoint
) -> None:
    with at_rest_afterwards(tooled, call.generations):
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            called(call, model(tooled, LIMIT))
        assert LIMIT <= time.monotonic() - started < LIMIT + LATEST


@pytest.mark.parametrize("call", [call for call in CALLS if call.tells], ids=lambda call: call.name)
def test_an_answer_that_ends_in_time_is_whole_and_has_its_usage(
    call: Call, tooled: Endpoint
) -> None:
    _, usage = text_and_usage(called(call, model(tooled, IN_TIME, max_tokens=8)))
    assert usage


@pytest.mark.parametrize(
    "caller",
    [caller for caller in CALLERS if caller.scenario == "endless" and not caller.pooled],
    ids=lambda caller: caller.name,
)
def test_vllm_is_idle_soon_after_anything_that_a_caller_does(
    caller: Caller, tooled: Endpoint
) -> None:
    with at_rest_afterwards(tooled, caller.generations):
        mine = model(tooled, LIMIT)
        by = (
            asyncio.run(caller.run(mine, LIMIT))
            if inspect.iscoroutinefunction(caller.run)
            else caller.run(mine, LIMIT)
        )
        time.sleep(max(0.0, by - time.monotonic()))


def test_a_wrong_model_is_refused_with_vllms_own_words(server: Endpoint) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        model(server, LIMIT, model="no-model").invoke("Why?")
