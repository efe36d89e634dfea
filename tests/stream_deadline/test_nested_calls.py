"""Requests inside a bounded call: other clients, inner calls, and background work."""

import asyncio
import gc
import time
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx2
import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI

from fake_vllm.testing import FakeVllm
from stream_deadline import (
    ChatVllm,
    Expiry,
    StreamDeadlineExceeded,
    bounded_client,
    bounded_model,
    bounded_transport,
    deadline,
    no_deadline,
    on_expired,
    remove_hook,
)

LATEST = 6.0
MESSAGES: Any = [{"role": "user", "content": "Why?"}]


def freed(server: FakeVllm, name: str) -> None:
    server.wait_for(lambda entry: name in entry.id and entry.slot_freed is not None, LATEST)


def body(server: FakeVllm) -> dict[str, Any]:
    return {"model": server.model, "messages": MESSAGES, "stream": True}


def read(items: Any) -> None:
    for _ in items:
        pass


class TestAnotherClientInsideACall:
    """Its requests do not stand for those of the call."""

    def test_a_transport_that_fetches_a_token_first(self, server: FakeVllm) -> None:
        tokens = bounded_client(httpx2.Client(trust_env=False), timeout=5)

        class Authorized(httpx2.BaseTransport):
            under = httpx2.HTTPTransport()

            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                response = self.under.handle_request(request)
                tokens.get(f"{server.base_url}/models")  # after the headers: the latest request
                return response

        name = uuid.uuid4().hex
        http = httpx2.Client(transport=bounded_transport(Authorized(), timeout=0.5), timeout=60)
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            http.post(
                f"{server.base_url}/chat/completions",
                json=body(server),
                headers={"x-request-id": name, "x-fake-scenario": "stall:after=1"},
            )
        assert time.monotonic() - started < 5
        freed(server, name)

    def test_a_model_that_asks_another_server_while_it_streams(self, server: FakeVllm) -> None:
        checks = bounded_client(httpx2.Client(trust_env=False), timeout=30)

        class Moderated(ChatOpenAI):
            def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
                for chunk in super()._stream(*args, **kwargs):
                    checks.get(f"{server.base_url}/models")
                    yield chunk

        name = uuid.uuid4().hex
        model = bounded_model(
            Moderated(
                model=server.model,
                base_url=server.base_url,
                api_key="none",
                timeout=60,
                default_headers={"x-request-id": name, "x-fake-scenario": "stall:after=2"},
            ),
            timeout=0.8,
        )
        stream = model.stream("Why?")
        next(stream)
        freed(server, name)
        with pytest.raises(StreamDeadlineExceeded):
            read(stream)


@pytest.mark.parametrize("lets_go", [False, True], ids=["a plain task", "no_deadline"])
def test_work_that_a_call_starts_outlives_it(lets_go: bool, server: FakeVllm) -> None:
    """Once the call is over, requests of background work belong to no call."""
    statuses: list[int] = []
    own = bounded_client(httpx2.AsyncClient(trust_env=False), timeout=10)

    class Starting(ChatOpenAI):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            async def refresh() -> None:
                for _ in range(3):
                    await asyncio.sleep(0.3)
                    statuses.append((await own.get(f"{server.base_url}/models")).status_code)

            if lets_go:
                with no_deadline():
                    self.tasks.append(asyncio.create_task(refresh()))
            else:
                self.tasks.append(asyncio.create_task(refresh()))
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk

        tasks: ClassVar[list[Any]] = []

    async def play() -> None:
        model = bounded_model(
            Starting(model=server.model, base_url=server.base_url, api_key="none"), timeout=0.4
        )
        with pytest.raises(StreamDeadlineExceeded):
            async for _ in model.astream("Why?"):
                pass
        await asyncio.gather(*model.tasks)

    asyncio.run(play())
    assert statuses == [200, 200, 200]


def bounded_twice(server: FakeVllm, kind: str, limit: float) -> Any:
    settings: Any = {"model": server.model, "base_url": server.base_url, "api_key": "none"}
    http = bounded_client(openai.DefaultHttpxClient(), timeout=limit)
    if kind == "model in a model":
        return bounded_model(ChatVllm(**settings, timeout=limit), timeout=limit)
    if kind == "client in ChatVllm":
        return ChatVllm(**settings, timeout=limit, http_client=http)
    return bounded_model(ChatOpenAI(**settings, http_client=http), timeout=limit)


@pytest.mark.parametrize("pulls", [True, False], ids=["pulls", "pauses"])
@pytest.mark.parametrize("kind", ["model in a model", "client in ChatVllm", "client in a model"])
def test_a_call_that_is_bounded_twice_is_reported_once(
    kind: str, pulls: bool, server: FakeVllm, reported: list[Expiry]
) -> None:
    stream = bounded_twice(server, kind, 0.5).stream("Why?")
    next(stream)
    if not pulls:
        time.sleep(1.0)
    with pytest.raises(StreamDeadlineExceeded):
        read(stream)
    assert len(reported) == 1
    assert reported[0].host == server.base_url.removeprefix("http://").removesuffix("/v1")


def test_a_hook_can_send_a_bounded_request_itself(server: FakeVllm, reported: list[Expiry]) -> None:
    http, sent = bounded_client(httpx2.Client(trust_env=False)), []

    @on_expired
    def alert(expiry: Expiry) -> None:
        sent.append(http.get(f"{server.base_url}/models").status_code)

    try:
        with deadline(0.3), pytest.raises(StreamDeadlineExceeded):
            http.post(f"{server.base_url}/chat/completions", json=body(server))
    finally:
        remove_hook(alert)
    assert sent == [200]
    assert len(reported) == 1


def test_requests_are_not_kept_by_those_that_follow(server: FakeVllm) -> None:
    for bounds in ({}, {"timeout": 30.0}):
        client = bounded_client(openai.OpenAI(api_key="none", base_url=server.base_url), **bounds)
        for _ in range(100):
            client.models.list()
        gc.collect()
        alive = [each for each in gc.get_objects() if type(each) is httpx2.Request]
        assert len(alive) <= 20


def test_langchains_cache_tells_the_servers_of_bounded_models_apart() -> None:
    with FakeVllm("finite:tokens=5") as one, FakeVllm("finite:tokens=9") as other:
        cache = InMemoryCache()
        for server in (one, other):
            model = ChatOpenAI(model="same", base_url=server.base_url, api_key="none", cache=cache)
            with pytest.raises(openai.NotFoundError):  # each server is asked
                bounded_model(model, timeout=30).invoke("Why?")
        keys = {
            bounded_model(
                ChatOpenAI(model="same", base_url=server.base_url, api_key="none"), 30
            )._get_llm_string()
            for server in (one, other)
        }
        assert len(keys) == 2
