"""Each call that a bound ends is reported once, without its contents."""

import asyncio
import logging
import math
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import prometheus_client
import pytest
from langchain_openai import ChatOpenAI
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fake_vllm.testing import FakeVllm
from stream_deadline import (
    ChatVllm,
    Expiry,
    StreamDeadlineExceeded,
    _expiry,
    bounded,
    bounded_client,
    bounded_model,
    bounded_sync,
    deadline,
    on_expired,
    prometheus_counter,
    remove_hook,
)
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded import BoundedStream
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._deadline import remaining

KEY = "sk-canary-4711"
PROMPT = "the canary's question"
MESSAGES: Any = [{"role": "user", "content": PROMPT}]
LIMIT = 0.4


def chat(server: FakeVllm, scenario: str = "endless", **settings: Any) -> ChatVllm:
    return ChatVllm(
        model=server.model,
        base_url=server.base_url,
        api_key=KEY,
        default_headers={"x-fake-scenario": scenario},
        **{"timeout": LIMIT, **settings},
    )


def read(items: Any) -> None:
    for _ in items:
        pass


def read_async(make: Callable[[], Any]) -> None:
    async def go() -> None:
        async for _ in make():
            pass

    asyncio.run(go())


async def babble() -> AsyncIterator[int]:
    while True:
        await asyncio.sleep(0.01)
        yield 1


def babble_sync() -> Iterator[int]:
    while True:
        time.sleep(0.01)
        yield 1


def sdk(server: FakeVllm) -> Any:
    return bounded_client(openai.OpenAI(api_key=KEY, base_url=server.base_url), timeout=LIMIT)


def ask_sdk(server: FakeVllm) -> None:
    read(sdk(server).chat.completions.create(model=server.model, messages=MESSAGES, stream=True))


async def ask_sdk_async(server: FakeVllm) -> None:
    client = bounded_client(openai.AsyncOpenAI(api_key=KEY, base_url=server.base_url), LIMIT)
    async for _ in await client.chat.completions.create(
        model=server.model, messages=MESSAGES, stream=True
    ):
        pass


def other_model(server: FakeVllm) -> ChatOpenAI:
    model = ChatOpenAI(model=server.model, base_url=server.base_url, api_key=lambda: KEY)
    return bounded_model(model, timeout=LIMIT)


async def cancelled() -> None:
    async with deadline(LIMIT, cancel=True):
        await asyncio.sleep(60)


CALLS: dict[str, Callable[[FakeVllm], Any]] = {
    "ChatVllm.stream": lambda server: read(chat(server).stream(PROMPT)),
    "ChatVllm.astream": lambda server: read_async(lambda: chat(server).astream(PROMPT)),
    "ChatVllm.invoke": lambda server: chat(server).invoke(PROMPT),
    "ChatVllm.ainvoke": lambda server: asyncio.run(chat(server).ainvoke(PROMPT)),
    "bounded_model": lambda server: read(other_model(server).stream(PROMPT)),
    "bounded_client": ask_sdk,
    "bounded_client, asynchronous": lambda server: asyncio.run(ask_sdk_async(server)),
    "bounded_sync": lambda server: read(bounded_sync(babble_sync(), LIMIT)),
    "bounded": lambda server: read_async(lambda: bounded(babble(), LIMIT)),
    "deadline(cancel=True)": lambda server: asyncio.run(cancelled()),
}
STREAMS = [
    name
    for name in CALLS
    if name not in ("ChatVllm.invoke", "ChatVllm.ainvoke") and not name.startswith("deadline")
]
KNOWS_MODEL = ("ChatVllm", "bounded_client", "bounded_model")


@pytest.mark.parametrize("call", CALLS)
def test_a_report_comes_once_and_agrees_with_the_error(
    call: str, server: FakeVllm, reported: list[Expiry], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stream_deadline")
    with pytest.raises(StreamDeadlineExceeded) as caught:
        CALLS[call](server)
    [expiry] = reported
    error = caught.value
    assert (expiry.bound, expiry.limit, expiry.chunks) == (error.bound, error.limit, error.chunks)
    if call in STREAMS:
        assert expiry.chunks > 3
    assert LIMIT - 0.05 <= expiry.elapsed <= error.elapsed + 0.5
    if call.startswith(KNOWS_MODEL):
        host = server.base_url.removeprefix("http://").removesuffix("/v1")
        assert (expiry.model, expiry.host) == (server.model, host)
    [record] = [each for each in caplog.records if hasattr(each, "deadline_bound")]
    assert vars(record)["deadline_limit"] == LIMIT
    assert record.getMessage() == str(expiry)
    for secret in (KEY, PROMPT):
        assert secret not in repr(vars(record))


class TestWhatALayerBelowTheCallHasEnded:
    """The transport finds a bound reached, and a late timer then postpones it."""

    def test_a_synchronous_call_reports_it(self, reported: list[Expiry]) -> None:
        budget = Budget(Bounds(60.0), time.monotonic)

        def refused() -> Iterator[int]:
            raise budget.quiet_error()
            yield 1

        with pytest.raises(StreamDeadlineExceeded):
            read(BoundedIterator(refused(), budget, NullAccumulator(), lambda in_use: None))
        assert [each.bound for each in reported] == ["timeout"]

    def test_an_asynchronous_call_reports_it(self, reported: list[Expiry]) -> None:
        async def go() -> None:
            budget = Budget(Bounds(60.0), time.monotonic)

            async def refused() -> AsyncIterator[int]:
                raise budget.quiet_error()
                yield 1

            stream = BoundedStream(refused(), budget, NullAccumulator(), lambda in_use: None)
            with pytest.raises(StreamDeadlineExceeded):
                await anext(stream)

        asyncio.run(go())
        assert [each.bound for each in reported] == ["timeout"]


def test_a_call_that_ends_in_time_is_not_reported(server: FakeVllm, reported: list[Expiry]) -> None:
    chat(server, "finite:tokens=3", timeout=30).invoke(PROMPT)
    read(chat(server, "finite:tokens=3", timeout=30).stream(PROMPT))
    assert reported == []


def test_a_call_and_the_client_under_it_are_one_expiry(
    server: FakeVllm, reported: list[Expiry]
) -> None:
    http = bounded_client(openai.DefaultHttpxClient(), timeout=30)
    with deadline(LIMIT), pytest.raises(StreamDeadlineExceeded):
        read(chat(server, timeout=None, http_client=http).stream(PROMPT))
    assert [each.bound for each in reported] == ["deadline"]


def test_the_sdks_retries_are_one_expiry(server: FakeVllm, reported: list[Expiry]) -> None:
    client = bounded_client(
        openai.OpenAI(
            api_key=KEY,
            base_url=server.base_url,
            default_headers={"x-fake-scenario": "refuse:status=503,times=1"},
        ),
        timeout=2.0,
    )
    with pytest.raises(StreamDeadlineExceeded):
        read(client.chat.completions.create(model=server.model, messages=MESSAGES, stream=True))
    assert len(reported) == 1


def test_a_consumer_that_does_not_pull_is_reported_too(
    server: FakeVllm, reported: list[Expiry]
) -> None:
    http = bounded_client(httpx2.Client(trust_env=False), timeout=LIMIT)
    body = {"model": server.model, "messages": [{"role": "user", "content": PROMPT}]}
    with http.stream(
        "POST", f"{server.base_url}/chat/completions", json={**body, "stream": True}
    ) as answer:
        parts = answer.iter_bytes()
        next(parts)
        end = time.monotonic() + 10
        while not reported:
            assert time.monotonic() < end
            time.sleep(0.01)
        with pytest.raises(StreamDeadlineExceeded):
            read(parts)
    assert len(reported) == 1


def test_a_hook_that_fails_is_logged_and_the_call_gets_its_error(
    server: FakeVllm, reported: list[Expiry], caplog: pytest.LogCaptureFixture
) -> None:
    @on_expired
    def fail(expiry: Expiry) -> None:
        raise LookupError("no metrics server")

    try:
        with pytest.raises(StreamDeadlineExceeded):
            read(bounded_sync(babble_sync(), 0.1))
    finally:
        remove_hook(fail)
    assert "no metrics server" in caplog.text
    assert len(reported) == 1


def test_a_hook_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match="is no hook of on_expired"):
        remove_hook(print)


def test_prometheus_counts_by_bound_model_and_host(server: FakeVllm) -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_counter(registry)
    assert prometheus_counter(registry) is prometheus_counter(registry)
    for _ in range(2):
        with pytest.raises(StreamDeadlineExceeded):
            read(chat(server, timeout=0.2).stream(PROMPT))
    labels = {
        "bound": "timeout",
        "model": server.model,
        "host": server.base_url.removeprefix("http://").removesuffix("/v1"),
    }
    assert registry.get_sample_value("stream_deadline_expired_total", labels) == 2


def test_opentelemetry_gets_an_event_of_the_span_and_a_counter(
    server: FakeVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr(metrics, "get_meter", lambda name: meters.get_meter(name))
    _expiry._opentelemetry_counter.cache_clear()
    try:
        tracer = provider.get_tracer(uuid.uuid4().hex)
        for call in ("ChatVllm.stream", "ChatVllm.astream", "bounded_client"):
            with (
                tracer.start_as_current_span(call, record_exception=False),
                pytest.raises(StreamDeadlineExceeded),
            ):
                CALLS[call](server)
    finally:
        _expiry._opentelemetry_counter.cache_clear()
    for span in spans.get_finished_spans():
        [event] = span.events
        assert event.name == "deadline.expired"
        assert event.attributes is not None
        assert event.attributes["deadline.bound"] == "timeout"
        assert event.attributes["deadline.model"] == server.model
    data = reader.get_metrics_data()
    assert data is not None
    [metric] = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "stream_deadline.expired"
    points: Any = metric.data.data_points
    assert sum(point.value for point in points) == 3
    assert trace.get_current_span().get_span_context().is_valid is False


class TestReport:
    """What is reported of an expiry, to the log and to the hooks."""

    EXPIRY = Expiry("timeout", 45, 45.126, 3, "gpt", "example.org")

    @pytest.mark.parametrize(
        ("expiry", "text"),
        [
            (EXPIRY, "A call was ended by timeout=45 after 45.13 s and 3 chunks. "
                     "Model gpt at example.org."),
            (replace(EXPIRY, model=None, host=None),
             "A call was ended by timeout=45 after 45.13 s and 3 chunks."),
            (replace(EXPIRY, model=None),
             "A call was ended by timeout=45 after 45.13 s and 3 chunks. "
             "Model None at example.org."),
            (replace(EXPIRY, host=None),
             "A call was ended by timeout=45 after 45.13 s and 3 chunks. Model gpt at None."),
            (replace(EXPIRY, bound="caller", limit=45.126),
             "A call was ended, because its client has disconnected, after 45.13 s and 3 chunks. "
             "Model gpt at example.org."),
        ],
    )  # fmt: skip
    def test_its_text_says_what_is_known(self, expiry: Expiry, text: str) -> None:
        assert str(expiry) == text

    def test_it_is_a_record_of_the_log_with_its_fields(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "stream_deadline"):
            _expiry.report_expiry(self.EXPIRY)
        [record] = caplog.records
        assert (record.name, record.levelname) == ("stream_deadline", "INFO")
        assert record.getMessage() == str(self.EXPIRY)
        fields = {name: value for name, value in vars(record).items() if "deadline_" in name}
        assert fields == {
            "deadline_bound": "timeout", "deadline_limit": 45, "deadline_elapsed": 45.126,
            "deadline_chunks": 3, "deadline_model": "gpt", "deadline_host": "example.org",
        }  # fmt: skip

    def test_hooks_are_called_in_turn_outside_of_the_deadline_until_they_are_removed(
        self,
    ) -> None:
        seen: list[tuple[str, Expiry, float]] = []

        @on_expired
        def first(expiry: Expiry) -> None:
            seen.append(("first", expiry, remaining()))

        @on_expired
        def second(expiry: Expiry) -> None:
            seen.append(("second", expiry, remaining()))

        try:
            with deadline(0):
                _expiry.report_expiry(self.EXPIRY)
        finally:
            remove_hook(first)
        try:
            assert seen == [("first", self.EXPIRY, math.inf), ("second", self.EXPIRY, math.inf)]
            _expiry.report_expiry(self.EXPIRY)
            assert [name for name, _, _ in seen] == ["first", "second", "second"]
        finally:
            remove_hook(second)

    def test_a_hook_that_fails_stops_no_other(
        self, reported: list[Expiry], caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(expiry: Expiry) -> None:
            raise KeyError

        _expiry._hooks.insert(0, fail)
        try:
            _expiry.report_expiry(self.EXPIRY)
        finally:
            remove_hook(fail)
        assert reported == [self.EXPIRY]
        [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert record.name == "stream_deadline"

    @pytest.mark.parametrize("known", [True, False])
    def test_opentelemetry_gets_only_what_is_known(
        self, known: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events: list[tuple[str, dict[str, object]]] = []
        counted: list[tuple[int, dict[str, object]]] = []
        counter = SimpleNamespace(add=lambda *what: counted.append(what))
        span = SimpleNamespace(add_event=lambda *what: events.append(what))
        monkeypatch.setattr(_expiry, "_opentelemetry_counter", lambda: counter)
        expiry = self.EXPIRY if known else replace(self.EXPIRY, model=None, host=None)
        fields = {"deadline.bound": "timeout", "deadline.limit": 45, "deadline.elapsed": 45.126}
        fields |= {"deadline.chunks": 3}
        labels: dict[str, object] = {"deadline.bound": "timeout"}
        if known:
            names = {"deadline.model": "gpt", "deadline.host": "example.org"}
            fields |= names
            labels |= names
        _expiry.report_expiry(expiry, span)
        assert events == [("deadline.expired", fields)]
        _expiry.report_expiry(expiry)
        assert counted == [(1, labels)] * 2
        assert len(events) == 1, "there was no span"

    def test_opentelemetry_s_counter_has_the_name_of_the_library(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def get_meter(meter: str) -> SimpleNamespace:
            return SimpleNamespace(create_counter=lambda name, unit, **_: (meter, name, unit))

        monkeypatch.setattr(metrics, "get_meter", get_meter)
        _expiry._opentelemetry_counter.cache_clear()
        try:
            made = _expiry._opentelemetry_counter()
        finally:
            _expiry._opentelemetry_counter.cache_clear()
        assert made == ("stream_deadline", "stream_deadline.expired", "{call}")

    def test_without_opentelemetry_nothing_goes_to_it(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        span = SimpleNamespace(add_event=None)
        for name in ("opentelemetry", "opentelemetry.metrics"):
            monkeypatch.setitem(sys.modules, name, None)
        _expiry._opentelemetry_counter.cache_clear()
        try:
            _expiry.report_expiry(self.EXPIRY, span)
        finally:
            _expiry._opentelemetry_counter.cache_clear()
        assert not [each for each in caplog.records if each.levelno >= logging.ERROR]

    def test_without_opentelemetry_there_is_no_span(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
        assert _expiry.current_span() is None
        span = object()
        module = SimpleNamespace(get_current_span=lambda: span)
        monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)
        assert _expiry.current_span() is span

    def test_prometheus_counts_what_is_not_known_too(self) -> None:
        registry = prometheus_client.CollectorRegistry()
        before = list(_expiry._hooks)
        counter = prometheus_counter(registry)
        assert isinstance(counter, prometheus_client.Counter)
        assert prometheus_counter(registry) is counter
        [hook] = [each for each in _expiry._hooks if each not in before]
        try:
            _expiry.report_expiry(self.EXPIRY)
            _expiry.report_expiry(replace(self.EXPIRY, model=None, host=None))
        finally:
            remove_hook(hook)
        labels = [{"model": "gpt", "host": "example.org"}, {"model": "", "host": ""}]
        for each in labels:
            name = "stream_deadline_expired_total"
            assert registry.get_sample_value(name, {"bound": "timeout", **each}) == 1

    def test_prometheus_counts_in_its_default_registry(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = prometheus_client.CollectorRegistry()
        monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
        prometheus_counter.cache_clear()
        before = list(_expiry._hooks)
        try:
            prometheus_counter()
        finally:
            prometheus_counter.cache_clear()
        [hook] = [each for each in _expiry._hooks if each not in before]
        remove_hook(hook)
        assert [each.name for each in registry.collect()] == ["stream_deadline_expired"]

    def test_a_hook_that_was_removed_is_none_any_more(self) -> None:
        hook = on_expired(print)
        remove_hook(hook)
        with pytest.raises(ValueError, match="is no hook of on_expired"):
            remove_hook(hook)

    def test_without_prometheus_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
        with pytest.raises(ImportError, match="pip install 'stream-deadline\\[prometheus\\]'"):
            prometheus_counter("another registry")
