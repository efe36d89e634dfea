"""Calls, threads and processes leave nothing behind, in every way that they end."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import httpx
import httpx2
import openai
import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from fake_vllm.testing import FakeVllm
from stream_deadline import (
    AnswerCutShort,
    ChatVllm,
    StreamDeadlineExceeded,
    _clients,
    bounded,
    bounded_client,
    bounded_sync,
)
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._call_group import CallGroup
from stream_deadline._clients import PerLoopClient
from stream_deadline._message import MessageAccumulator
from stream_deadline._reader import Reader
from stream_deadline._shutdown import shut_down
from stream_deadline._watchdog import _watchdog
from tests.at_once import at_once

LONG = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("endless", gap=0.02) as server:
        yield server


def chat(server: FakeVllm, **options: object) -> ChatVllm:
    return ChatVllm(
        **{"model": server.model, "base_url": server.base_url, "timeout": LONG, **options}
    )


def python(script: str, *arguments: str) -> str:
    """Return what a script prints in an interpreter that must end within 90 s."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


class Source:
    """An iterator that tells whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> "Source":
        return self

    def __next__(self) -> int:
        return 1

    def close(self) -> None:
        self.closed += 1


def alarms() -> int:
    return len(_watchdog._alarms)


class TestBeforeItsFirstItem:
    """An iterator that was made and never pulled."""

    @pytest.fixture(autouse=True)
    def _alarms_stay_as_many(self) -> Iterator[None]:
        before = alarms()
        yield
        assert alarms() == before

    def test_closing_it_closes_the_source(self) -> None:
        source = Source()
        bounded_sync(source, LONG).close()
        assert source.closed == 1

    def test_dropping_it_closes_the_source(self) -> None:
        source = Source()
        bounded_sync(source, LONG, idle_timeout=1)
        gc.collect()
        assert source.closed == 1

    def test_leaving_its_block_closes_the_source(self) -> None:
        source = Source()
        with bounded_sync(source, LONG):
            pass
        assert source.closed == 1

    def test_closing_it_twice_closes_the_source_once(self) -> None:
        source = Source()
        items = bounded_sync(source, LONG)
        items.close()
        items.close()
        assert source.closed == 1
        assert list(items) == []

    def test_a_call_of_the_model_leaves_no_connection(self, server: FakeVllm) -> None:
        server.clear()
        stream = chat(server)._stream([])
        assert isinstance(stream, BoundedIterator)
        del stream
        gc.collect()
        assert server.requests == []


def test_dropping_an_iterator_after_its_first_item_closes_the_source_and_cancels_the_alarm() -> (
    None
):
    before, source = alarms(), Source()
    items = bounded_sync(source, LONG)
    next(items)
    assert alarms() == before + 1
    del items
    gc.collect()
    assert (alarms(), source.closed) == (before, 1)


def test_cancelled_alarms_do_not_pile_up() -> None:
    for _ in range(2000):
        bounded_sync(Source(), 3600).close()
    assert len(_watchdog._queue) < 1000


def test_an_alarm_goes_off_after_the_one_before_it_was_cancelled() -> None:
    near, far = socket.socketpair()

    def reading() -> Iterator[bytes]:
        while data := near.recv(1):
            yield data

    bounded_sync(Source(), 3600).close()
    started = time.monotonic()
    with far, near, pytest.raises(StreamDeadlineExceeded):
        list(bounded_sync(reading(), 0.2, interrupt=lambda: shut_down(near)))
    assert time.monotonic() - started < 5


OPEN_AT_THE_END = {
    "a synchronous stream": "stream = bounded_sync(iter(range(9)), 300); next(stream)",
    "one that was never pulled": "stream = bounded_sync(iter(range(9)), 300)",
    "one in a thread": "stream = bounded_sync(iter(range(9)), 300); t = threading.Thread(target=next, args=(stream,)); t.start(); t.join()",
    "one in a cycle": "stream = bounded_sync(iter(range(9)), 300); next(stream); cycle = [stream]; cycle.append(cycle); del stream",
    "one that is begun while the interpreter ends": "atexit.register(lambda: print(list(bounded_sync(iter(range(3)), 300))))",
    "an asynchronous stream": (
        "loop = asyncio.new_event_loop(); model = chat(); stream = model.astream('Why?'); loop.run_until_complete(anext(stream)); "
        "loop.run_until_complete(stream.aclose()); loop.close()"
    ),
    "a model's synchronous stream": "stream = chat().stream('Why?'); next(stream)",
}


@pytest.mark.parametrize("code", OPEN_AT_THE_END.values(), ids=OPEN_AT_THE_END)
@at_once
def test_an_interpreter_ends_in_every_state_of_a_call(code: str, server: FakeVllm) -> None:
    script = f"""
import asyncio, atexit, sys, threading
from stream_deadline import ChatVllm, bounded_sync
def chat(): return ChatVllm(model=sys.argv[1], base_url=sys.argv[2], timeout=300)
{code}
"""
    if sys.version_info[:3] == (3, 13, 0) and "chat().stream" in code:
        pytest.skip("CPython 3.13.0 crashes at its end there, with a plain ChatOpenAI as well")
    python(script, server.model, server.base_url)


ENDS_ITS_LOOP = {
    "a whole answer": "await model.ainvoke('Why?')",
    "a stream": "[chunk async for chunk in model.astream('Why?')]",
    "a stream that is left": (
        "stream = model.astream('Why?', extra_body={'fake_scenario': 'endless'}); await anext(stream); kept.append(stream)"
    ),
    "a deadline": (
        "stream = model.bind(timeout=0.2).astream('Why?', extra_body={'fake_scenario': 'endless'})\n"
        "    try: [chunk async for chunk in stream]\n    except StreamDeadlineExceeded: pass"
    ),
    "a generator of the user's that closes the client in the end": (
        "kept.append(one := session()); await anext(one)"
    ),
    "an answer, and the client closed": (
        "await model.ainvoke('Why?'); await model.root_async_client._client.aclose()"
    ),
}


@pytest.mark.parametrize("code", ENDS_ITS_LOOP.values(), ids=ENDS_ITS_LOOP)
@at_once
def test_the_end_of_an_event_loop_closes_its_connections(code: str, server: FakeVllm) -> None:
    """Python would report each of them as unclosed."""
    script = f"""
import asyncio, gc, sys
from stream_deadline import ChatVllm, StreamDeadlineExceeded
body = {{"fake_scenario": "finite:tokens=3"}}
model = ChatVllm(model=sys.argv[1], base_url=sys.argv[2], timeout=60, extra_body=body)
kept = []
async def session():
    try:
        await model.ainvoke("Why?")
        yield
    finally:
        await model.root_async_client.close()
async def ask():
    {code}
for _ in range(4):
    asyncio.run(ask())
    kept.clear()
    gc.collect()
"""
    python(script, server.model, server.base_url)


def test_a_generator_of_the_user_s_may_make_a_request_at_the_end_of_its_loop(
    server: FakeVllm,
) -> None:
    model = chat(server, extra_body={"fake_scenario": "finite:tokens=3"})
    kept, answers = [], []

    async def session() -> AsyncIterator[None]:
        try:
            await model.ainvoke("Why?")
            yield
        finally:
            answers.append(await model.root_async_client.models.list())

    async def leave() -> None:
        kept.append(one := session())
        await anext(one)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, for any later generator
        for _ in range(6):
            asyncio.run(leave())
    assert len(answers) == 6


def test_a_loop_may_go_on_after_its_generators_have_ended(
    server: FakeVllm,
) -> None:
    model = chat(server, extra_body={"fake_scenario": "finite:tokens=3"})
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        assert runner.run(model.ainvoke("Why?")).content
        loop.run_until_complete(loop.shutdown_asyncgens())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, for any later generator
            assert runner.run(model.ainvoke("Why?")).content
            runner.run(model.root_async_client.close())


class TestAFork:
    """A child of a process that has used the model."""

    def child(self, work: Callable[[], bool]) -> int:
        """The status of a forked process that does `work`, without pytest's exit handlers."""
        pid = os.fork()
        if pid == 0:
            status = 1
            with contextlib.suppress(BaseException):
                status = 0 if work() else 1
            os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_shares_no_connection_with_its_parent(self, server: FakeVllm) -> None:
        model = chat(server, extra_body={"fake_scenario": "finite:tokens=3"})
        model.invoke("Why?")
        used = server.requests[-1].turn  # other models of this process may share the connection
        server.clear()
        assert self.child(lambda: bool(model.invoke("Why?").content)) == 0
        assert model.invoke("Why?").content
        assert [entry.turn for entry in server.requests] == [1, used + 1], (
            "the child made a connection, the parent used its own"
        )

    def test_does_not_end_its_parents_connection_at_its_deadline(self, server: FakeVllm) -> None:
        quick = chat(server, extra_body={"fake_scenario": "finite:tokens=3"})
        quick.invoke("Why?")

        def work() -> bool:
            try:
                chat(server, timeout=0.3).invoke("Why?")
            except StreamDeadlineExceeded:
                return True
            return False

        assert self.child(work) == 0
        assert quick.invoke("Why?").content

    def test_does_not_wait_for_a_lock_of_its_parents(self, server: FakeVllm) -> None:
        """Another thread of the parent may hold it in the moment of the fork."""
        model = chat(server, extra_body={"fake_scenario": "finite:tokens=3"})
        http = model.root_async_client._client
        assert isinstance(http, PerLoopClient)

        def work() -> bool:
            signal.alarm(20)  # else a child that waits for ever
            return bool(asyncio.run(model.ainvoke("Why?")).content)

        with http._changing:
            assert self.child(work) == 0

    def test_does_not_wait_for_a_thread_of_its_parents_that_makes_a_model(
        self, server: FakeVllm
    ) -> None:
        is_held, free = threading.Event(), threading.Event()

        def hold() -> None:
            with _clients._making:
                is_held.set()
                free.wait(30)

        def work() -> bool:
            signal.alarm(20)  # else a child that waits for ever
            return bool(chat(server))

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert is_held.wait(30)
            assert self.child(work) == 0
        finally:
            free.set()
            thread.join()

    @pytest.mark.parametrize("kind", ["default", "the user's own"])
    def test_gets_its_own_answers_beside_its_parent(self, kind: str, server: FakeVllm) -> None:
        own = {} if kind == "default" else {"http_client": openai.DefaultHttpxClient()}
        model = chat(server, **own)

        def ask(who: str) -> bool:
            said = [
                model.invoke(who, extra_body={"fake_scenario": "echo"}).content for _ in range(5)
            ]
            return all(who in str(each) for each in said)

        ask("parent")
        pid = os.fork()
        if pid == 0:
            status = 1
            with contextlib.suppress(BaseException):
                status = 0 if ask("child") else 1
            os._exit(status)
        mine = ask("parent")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert mine


def freed_within(server: FakeVllm, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.requests and all(entry.slot_freed is not None for entry in server.requests):
            return True
        time.sleep(0.02)
    return False


def pump(loop: asyncio.AbstractEventLoop, stream: AsyncIterator[object]) -> None:
    while True:
        loop.run_until_complete(anext(stream))


class TestALoopThatRunsInSteps:
    """An asynchronous stream driven by `run_until_complete`, item by item, as synchronous pages do."""

    @pytest.mark.parametrize("warm", [False, True], ids=["new connection", "pooled connection"])
    def test_a_loop_that_stands_still_frees_the_server_at_the_deadline(
        self, warm: bool, server: FakeVllm
    ) -> None:
        loop, model = asyncio.new_event_loop(), chat(server, timeout=2.0)
        if warm:
            loop.run_until_complete(
                model.ainvoke("Why?", extra_body={"fake_scenario": "finite:tokens=2"})
            )
        server.clear()
        stream = model.astream("Why?")
        loop.run_until_complete(anext(stream))
        assert freed_within(server, 10)
        with pytest.raises(StreamDeadlineExceeded):
            pump(loop, stream)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def test_a_loop_that_stands_still_before_the_headers_frees_the_server_too(
        self, server: FakeVllm
    ) -> None:
        loop, model = (
            asyncio.new_event_loop(),
            chat(server, timeout=2.0, extra_body={"fake_scenario": "no_headers"}),
        )
        loop.run_until_complete(
            model.ainvoke("Why?", extra_body={"fake_scenario": "finite:tokens=2"})
        )
        server.clear()
        stream = model.astream("Why?")
        first: asyncio.Future[object] = asyncio.ensure_future(anext(stream), loop=loop)
        loop.run_until_complete(asyncio.sleep(0.3))
        assert freed_within(server, 10)
        with pytest.raises(StreamDeadlineExceeded):
            loop.run_until_complete(first)
        loop.close()

    @pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine"
    )  # LangChain's, whose loop is gone
    def test_a_loop_that_is_closed_in_the_middle_frees_the_server_by_the_deadline(
        self, server: FakeVllm
    ) -> None:
        server.clear()
        loop, model = asyncio.new_event_loop(), chat(server, timeout=2.0)
        stream = model.astream("Why?")
        loop.run_until_complete(anext(stream))
        loop.close()
        assert freed_within(server, 10)
        del stream

    def test_a_disconnect_frees_the_server_at_once(self, server: FakeVllm) -> None:
        server.clear()
        loop, model, calls = asyncio.new_event_loop(), chat(server), CallGroup()
        with calls:
            stream = model.astream("Why?")
            loop.run_until_complete(anext(stream))
        threading.Thread(target=calls.end).start()
        assert freed_within(server, 10)
        with pytest.raises(StreamDeadlineExceeded):
            pump(loop, stream)
        loop.close()


def test_a_loop_that_ends_is_not_held_by_a_source_that_swallows_its_cancellation() -> None:
    """On Python 3.11 `asyncio.wait_for`, and so LangChain's `stream_chunk_timeout`, can do that."""
    kept: list[object] = []

    async def swallowing() -> AsyncIterator[int]:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.005)
            yield 1

    async def leaves() -> None:
        kept.append(stream := bounded(swallowing(), 5.0))
        await anext(stream)

    began = time.monotonic()
    asyncio.run(leaves())
    assert time.monotonic() - began < 4.0


def test_a_chain_that_an_outer_time_out_ends_frees_the_server_without_the_collector(
    server: FakeVllm,
) -> None:
    chain = ChatPromptTemplate.from_messages([("human", "{q}")]) | chat(server) | StrOutputParser()

    async def leave() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                async for _ in chain.astream({"q": "Why?"}):
                    await asyncio.sleep(
                        0.1
                    )  # the time-out meets it here, where nothing of the chain is awaited
        assert await asyncio.to_thread(freed_within, server, 10)

    server.clear()
    gc.disable()
    try:
        asyncio.run(leave())
    finally:
        gc.enable()


class CancelsAfterAToken(AsyncCallbackHandler):
    """Cancels a task after its fifth token, and some turns of the loop."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.tokens = 0
        self.reader: asyncio.Task[None] | None = None

    async def on_llm_new_token(self, token: str | list[Any], **kwargs: Any) -> None:
        self.tokens += 1
        if self.tokens == 5:
            self._cancel_after(self.turns)

    def _cancel_after(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._cancel_after, turns - 1)
        elif self.reader is not None:
            self.reader.cancel()


@pytest.mark.parametrize("pause", [None, 0.05], ids=["within a pull", "between two pulls"])
def test_a_cancelled_reader_of_a_bounded_chain_frees_the_server_though_its_task_is_kept(
    server: FakeVllm, pause: float | None
) -> None:
    """Without `bounded`, one of these moments leaves the stream to the task's traceback."""
    chain = ChatPromptTemplate.from_messages([("human", "{q}")]) | chat(server)

    async def read(handler: CancelsAfterAToken) -> None:
        stream = chain.astream({"q": "Why?"}, {"callbacks": [handler]})
        async for _ in bounded(stream, None):
            if pause is not None:
                await asyncio.sleep(pause)

    async def leave() -> None:
        handlers = [CancelsAfterAToken(turns) for turns in range(12)]
        for handler in handlers:
            handler.reader = asyncio.create_task(read(handler))
        ends = await asyncio.gather(
            *(handler.reader for handler in handlers if handler.reader), return_exceptions=True
        )
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        assert await asyncio.to_thread(freed_within, server, 10)

    server.clear()
    asyncio.run(leave())


def test_a_budget_that_is_used_up_before_the_request_leaves_no_open_socket(
    server: FakeVllm,
) -> None:
    script = """
import sys, warnings
from stream_deadline import AnswerCutShort, ChatVllm, StreamDeadlineExceeded, deadline
model = ChatVllm(model=sys.argv[1], base_url=sys.argv[2], timeout=30)
for left in (0, -1, 1e-9, 1e-4, 1e-3):
    with deadline(left):
        try: model.invoke("Why?")
        except StreamDeadlineExceeded: pass
"""
    python(script, server.model, server.base_url)


async def _left_to_the_collector(call: Callable[[], AsyncIterator[object]], most: int) -> list[str]:
    """Return the async generators that a call left open and only the collector would find."""
    loop, found = asyncio.get_running_loop(), []
    is_collecting = False

    def finalize(generator: Any) -> None:
        if is_collecting:
            found.append(generator.__qualname__)
        loop.create_task(generator.aclose())  # as asyncio's own does

    sys.set_asyncgen_hooks(finalizer=finalize)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(
            StreamDeadlineExceeded, AnswerCutShort, openai.APIError, ValueError, *OF_THE_NETWORK
        ):
            async with contextlib.aclosing(call()) as chunks:  # type: ignore[type-var]
                count = 0
                async for _ in chunks:
                    count += 1
                    if count == most:
                        break
        await asyncio.sleep(0.05)
        is_collecting = True
        gc.collect()
    finally:
        gc.enable()
    return [name for name in found if name not in LANGCHAINS]


OF_THE_NETWORK = (httpx.TransportError, httpx2.TransportError)
"""What an older SDK lets through if a connection breaks in a stream."""
LANGCHAINS = {"tee_peer"}
"""What LangChain itself leaves of a chain."""


@pytest.mark.parametrize("most", [2, 99], ids=["closed", "read to its end"])
@pytest.mark.parametrize(
    "scenario",
    [
        "finite:tokens=8",
        "endless",
        "endless+stall:after=3",
        "endless+ends_early:after=3",
        "endless+error_event:after=3",
        "endless+reset:after=3",
        "finite:tokens=8+malformed:after=2",
    ],
)
@pytest.mark.parametrize("in_chain", [False, True], ids=["astream", "chain"])
def test_a_call_leaves_no_open_generator_to_the_collector(
    server: FakeVllm, scenario: str, most: int, in_chain: bool
) -> None:
    """The bare SDK does, and then two threads may close a generator at once."""
    model = chat(server, timeout=0.4, extra_body={"fake_scenario": scenario})
    asked = ChatPromptTemplate.from_messages([("user", "{q}")]) | model
    call = (lambda: asked.astream({"q": "Why?"})) if in_chain else (lambda: model.astream("Why?"))
    assert asyncio.run(_left_to_the_collector(call, most)) == []


async def _left_open(make: Callable[[], Any], error: Any) -> list[str]:
    """Return the generators that are open after a call that fails.

    The error is kept, as by a service's log, and its traceback holds the SDK's frames.
    """
    before = _open_generators()
    with pytest.raises(error) as caught:
        async for _ in make().astream("Why?"):
            pass
    for _ in range(20):  # one generator lets go of the next in a turn of the loop each
        await asyncio.sleep(0)
    assert caught.value.__traceback__ is not None
    names = [each.__qualname__ for each in _open_generators() if each not in before]
    return [name for name in names if name not in LANGCHAINS]


@pytest.mark.parametrize("scenario", ["error_event:after=3", "malformed:after=2"])
@pytest.mark.parametrize(
    "options",
    [{}, {"raw_chunks": False}, {"use_responses_api": True}],
    ids=["dicts", "objects", "responses"],
)
def test_an_error_in_a_chunk_leaves_the_events_of_the_sdk_closed(
    server: FakeVllm, options: dict[str, Any], scenario: str
) -> None:
    body = {"fake_scenario": f"finite:tokens=8+{scenario}"}
    errors = (openai.APIError, ValueError, *OF_THE_NETWORK)
    call = partial(chat, server, timeout=5, extra_body=body, **options)
    assert asyncio.run(_left_open(call, errors)) == []


def test_a_structured_answer_that_is_cut_at_its_tokens_leaves_no_open_generator(
    server: FakeVllm,
) -> None:
    class Answer(BaseModel):
        number: int

    def structured() -> Any:
        model = chat(server, timeout=5, max_tokens=3)
        return model.with_structured_output(Answer, method="json_schema")

    assert asyncio.run(_left_open(structured, openai.LengthFinishReasonError)) == []


def test_a_generator_that_another_task_reads_does_not_hide_the_error_of_the_call(
    server: FakeVllm,
) -> None:
    """A tracer, say, reads the SDK's stream in a task of its own."""

    class Pump:
        def __init__(self, inner: Any) -> None:
            self._queue: asyncio.Queue[Any] = asyncio.Queue()
            self._task = asyncio.create_task(self._fill(inner))

        async def _fill(self, inner: Any) -> None:
            async for each in inner:
                self._queue.put_nowait(each)

        async def __aenter__(self) -> "Pump":
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        def __aiter__(self) -> "Pump":
            return self

        async def __anext__(self) -> Any:
            return await asyncio.wait_for(self._queue.get(), 0.3)

    async def fail() -> None:
        body = {"fake_scenario": "endless+stall:after=3"}
        model = chat(server, timeout=5, extra_body=body, use_responses_api=True)
        responses = model.root_async_client.responses
        create = responses.create

        async def pumped(*args: Any, **kwargs: Any) -> Any:
            return Pump(await create(*args, **kwargs))

        responses.create = pumped
        with pytest.raises(TimeoutError) as caught:
            async for _ in model.astream("Why?"):
                pass
        assert not isinstance(caught.value, StreamDeadlineExceeded)

    asyncio.run(fail())


def _open_generators() -> list[Any]:
    gc.collect()
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, types.AsyncGeneratorType)
        and each.ag_frame is not None
        and each.__qualname__ != "_close_in_the_end"  # it ends with its loop
    ]


class OddSource(ValueError):
    """An error of a source."""


async def _odd_items() -> AsyncIterator[int]:
    yield 1
    raise OddSource


def _odd_sync_items() -> Iterator[int]:
    yield 1
    raise OddSource


async def _slow_items() -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(LONG)


async def _read(server: FakeVllm, style: str, scenario: str) -> None:
    timeout = 0.2 if scenario == "endless" else 5.0
    base_url = "http://127.0.0.1:9/v1" if scenario == "refused" else server.base_url
    body = {"fake_scenario": "endless" if scenario == "refused" else scenario}
    if style == "bounded":
        source = _slow_items() if scenario == "endless" else _odd_items()
        async for _ in bounded(source, timeout):
            pass
    elif style == "bounded_sync":
        list(bounded_sync(_odd_sync_items(), timeout))
    elif style in ("SDK", "synchronous SDK"):
        options: dict[str, Any] = {"base_url": base_url, "api_key": "none", "max_retries": 0}
        call: dict[str, Any] = {
            "model": server.model,
            "messages": [{"role": "user", "content": "Why?"}],
            "stream": True,
            "extra_body": body,
        }
        if style == "SDK":
            async with bounded_client(openai.AsyncOpenAI(**options), timeout) as client:
                async for _ in await client.chat.completions.create(**call):
                    pass
        else:
            with bounded_client(openai.OpenAI(**options), timeout) as sync_client:
                list(sync_client.chat.completions.create(**call))
    else:
        model = ChatVllm(
            model=server.model,
            base_url=base_url,
            timeout=timeout,
            extra_body=body,
            max_retries=0,
        )
        if style == "astream":
            async for _ in model.astream("Why?"):
                pass
        elif style == "a whole answer":
            # Not `ainvoke`: LangChain itself keeps the error, in a list of its frame.
            await model._agenerate([HumanMessage("Why?")])
        elif style == "invoke":
            model.invoke("Why?")
        else:
            list(model.stream("Why?"))


@pytest.mark.parametrize(
    ("style", "scenario"),
    [
        *((style, "endless") for style in ("astream", "stream", "bounded", "SDK")),
        *((style, "endless") for style in ("a whole answer", "invoke", "synchronous SDK")),
        *((style, "refused") for style in ("astream", "stream", "SDK", "synchronous SDK")),
        *((style, "finite:tokens=8+malformed:after=2") for style in ("astream", "stream")),
        ("bounded", "odd"),
        ("bounded_sync", "odd"),
    ],
)
def test_an_error_is_freed_when_its_caller_drops_it(
    server: FakeVllm, style: str, scenario: str
) -> None:
    """A cycle would keep it, and all that its frames hold, until the collector runs."""
    if scenario == "refused" and tuple(map(int, version("anyio").split(".")[:2])) < (4, 7):
        pytest.skip("anyio before 4.7 keeps an error of connecting in a cycle of its own")

    async def fail() -> "weakref.ref[BaseException]":
        try:
            await _read(server, style, scenario)
        except (StreamDeadlineExceeded, openai.APIError, ValueError) as error:
            kept: weakref.ref[BaseException] = weakref.ref(error)
        await asyncio.sleep(0)
        return kept

    gc.disable()
    try:
        assert asyncio.run(fail())() is None
    finally:
        gc.enable()


def test_a_stream_that_is_dropped_before_its_error_was_taken_is_freed() -> None:
    async def drop() -> "weakref.ref[object]":
        stream = bounded(_odd_items(), LONG)
        assert await anext(stream) == 1
        for _ in range(5):  # the source fails meanwhile
            await asyncio.sleep(0)
        return weakref.ref(stream._reader)

    gc.disable()
    try:
        assert asyncio.run(drop())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_pooled_connection_keeps_no_answer(loop: str) -> None:
    """A loop's transport keeps the context of the call that has made it."""
    found = pytest.importorskip(loop, reason="uvloop is not made for this platform")

    def held() -> list[object]:
        gc.collect()
        return [each for each in gc.get_objects() if type(each) in (Reader, MessageAccumulator)]

    kept_by_others = held()
    before = {id(each) for each in kept_by_others}

    async def kept(fake: FakeVllm) -> list[str]:
        model = ChatVllm(model=fake.model, base_url=fake.base_url, api_key="none", timeout=30)
        assert [chunk async for chunk in model.astream("Why?")]
        await asyncio.sleep(0.05)
        return [type(each).__name__ for each in held() if id(each) not in before]

    with (
        FakeVllm("finite", gap=0.001) as fake,
        asyncio.Runner(loop_factory=found.new_event_loop) as runner,
    ):
        assert runner.run(kept(fake)) == []
