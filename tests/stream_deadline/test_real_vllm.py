"""The deadline against a real vLLM, whose own gauges are the witness.

make real-vllm                                                       # in one terminal
make test-real BASE_URL=http://127.0.0.1:8100/v1                     # in another
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate

from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_lab import Endpoint
from stream_lab.witness import Witness

URL = os.environ.get("REAL_VLLM_URL")
pytestmark = pytest.mark.skipif(URL is None, reason="no real vLLM is named in REAL_VLLM_URL; see `make test-real`")

LIMIT = 3.0
LATEST = 1.0
FREES_WITHIN = 2.0  # seconds; a median of 11 ms, but beside its client on a small machine vLLM takes longer at times
PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])


async def _astream(stream: Any) -> None:
    async for _ in stream:
        pass


async def _hold(stream: Any) -> None:
    await anext(stream)
    await asyncio.sleep(LIMIT + FREES_WITHIN)
    await anext(stream)


def _hold_sync(stream: Iterator[Any]) -> None:
    next(stream)
    time.sleep(LIMIT + FREES_WITHIN)
    next(stream)


CALLS: dict[str, Callable[[ChatVllm], Any]] = {
    "astream": lambda model: asyncio.run(_astream(model.astream("Why?"))),
    "chain.astream": lambda model: asyncio.run(_astream((PROMPT | model).astream({"question": "Why?"}))),
    "ainvoke": lambda model: asyncio.run(model.ainvoke("Why?")),
    "stream": lambda model: list(model.stream("Why?")),
    "chain.stream": lambda model: list((PROMPT | model).stream({"question": "Why?"})),
    "invoke": lambda model: model.invoke("Why?"),
    "suspended": lambda model: asyncio.run(_hold(model.astream("Why?"))),
    "suspended, stream": lambda model: _hold_sync(model.stream("Why?")),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with Endpoint(str(URL), os.environ.get("REAL_VLLM_MODEL")) as endpoint:
        assert endpoint.shows_metrics, "the witness needs vLLM's /metrics"
        yield endpoint


@pytest.mark.parametrize("call", CALLS)
def test_the_call_ends_at_the_deadline_and_vllm_runs_nothing_any_more(call: str, server: Endpoint) -> None:
    model = ChatVllm(**{**server.settings, "timeout": LIMIT})
    with Witness(server.root) as witness:
        assert witness.samples[0].running == 0, "somebody else is using this server"
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            CALLS[call](model)
        took = time.monotonic() - started
        if "suspended" not in call:
            assert LIMIT <= took < LIMIT + LATEST
        time.sleep(max(0.0, started + LIMIT + FREES_WITHIN + 0.5 - time.monotonic()))
    during = [sample for sample in witness.samples if started < sample.at < started + LIMIT]
    after = [sample for sample in witness.samples if sample.at > started + LIMIT + FREES_WITHIN]
    assert any(sample.running == 1 for sample in during), "vLLM was never seen at work"
    assert max(sample.running for sample in during) == 1, "more than one generation was started"
    assert after
    assert all(sample.running == 0 for sample in after)
    assert after[-1].tokens == after[0].tokens


def test_an_answer_that_ends_in_time_comes_through_with_its_usage(server: Endpoint) -> None:
    model = ChatVllm(**{**server.settings, "timeout": 30, "max_tokens": 8})
    streamed: Any = None
    for chunk in model.stream("Why?"):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.usage_metadata["output_tokens"] == 8
    assert model.invoke("Why?").usage_metadata == streamed.usage_metadata
