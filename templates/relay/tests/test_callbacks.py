"""Observing an answer never cuts it, and never delays it."""

import threading
import time
from typing import Any

import pytest
from fake_vllm.testing import FakeVllm
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from relay.safe_handler import SafeHandler
from relay.settings import Settings
from relay.token_counter import TokenCounter
from serving import chat, serving, wait_until


class Raising(BaseCallbackHandler):
    raise_error = (
        True  # LangChain's own way to let a handler's error out, which would cut the stream
    )

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        raise OSError("the collector is down")


class Blocking(BaseCallbackHandler):
    def __init__(self) -> None:
        self.go_on = threading.Event()

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        self.go_on.wait(30)


def test_a_callback_that_raises_does_not_cut_the_stream_and_is_logged_once(
    fake_vllm: FakeVllm, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Settings(fake_vllm.base_url, fake_vllm.model), [Raising()]) as relay:
        events = chat(relay)
        wait_until(lambda: caplog.records)
    assert events[-1][0] == "done"
    told = [record for record in caplog.records if record.name == "relay.safe_handler"]
    assert [record.message for record in told] == [
        "Raising failed in on_llm_new_token; its next errors are only counted"
    ]


def test_a_callback_that_blocks_does_not_delay_the_stream(fake_vllm: FakeVllm) -> None:
    blocking = Blocking()
    with serving(Settings(fake_vllm.base_url, fake_vllm.model), [blocking]) as relay:
        began = time.monotonic()
        assert chat(relay)[-1][0] == "done"
        assert time.monotonic() - began < 20  # it would have been 30 for each token
        blocking.go_on.set()


def test_the_example_counts_the_tokens_that_the_client_got(fake_vllm: FakeVllm) -> None:
    counter = TokenCounter()
    with serving(Settings(fake_vllm.base_url, fake_vllm.model), [counter]) as relay:
        *tokens, _ = chat(relay)
        wait_until(lambda: counter.chunks >= len(tokens))
    assert counter.chunks == len(tokens)


def test_a_handler_gets_only_the_events_that_it_wants() -> None:
    class Picky(TokenCounter):
        ignore_llm = True

    assert SafeHandler(Picky()).ignore_llm
    assert not SafeHandler(TokenCounter()).ignore_llm
    with pytest.raises(TypeError, match="asynchronous"):
        SafeHandler(AsyncCallbackHandler())


def test_a_queue_that_is_full_drops_events_and_not_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocking = Blocking()
    safe = SafeHandler(blocking)
    for _ in range(10_100):
        safe.on_llm_new_token("?", run_id=None)  # type: ignore[arg-type]
    assert 90 <= safe.dropped <= 100
    assert "too slow" in caplog.text
    blocking.go_on.set()
