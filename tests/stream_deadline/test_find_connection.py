"""`bounded` and `bounded_sync` end any stream over httpx or httpx2, and free its server."""

import asyncio
import importlib
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest

from stream_deadline import StreamDeadlineExceeded, bounded, bounded_sync
from stream_deadline import _find_connection as entrances
from stream_deadline._call_group import CallGroup
from tests.at_once import at_once
from tests.conftest import wait
from tests.stream_deadline.scripted import Answer, Request, Scripted, delta, event, response

LIMIT = 0.3
TIMER = "stream-deadline warning"
LATEST = 8.0  # wide: the question is whether it ends
OTHER: Any = importlib.import_module("httpx")
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
INPUT: dict[str, Any] = {"model": "m", "input": "Why?"}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def silent(request: Request) -> Answer:
    """Send a few events of the requested interface, and then nothing."""
    if request.target.endswith("/messages"):
        block = {"type": "text", "text": ""}
        said = [
            event("message_start", message=MESSAGE),
            event("content_block_start", index=0, content_block=block),
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": "one "}),
        ]
    elif request.target.endswith("/responses"):
        said = [event("response.created", response=response())]
    else:
        said = [delta("", role="assistant"), delta("one ")]
    return Answer(said, stalls=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with Scripted(silent) as server:
        yield server


# How a stream is opened: a function of the server that gives a context manager's value and the stream.


def sdk(server: Scripted) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="k", timeout=30, max_retries=0)


def asdk(server: Scripted) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.base_url, api_key="k", timeout=30, max_retries=0)


def anthropic(server: Scripted, kind: str) -> Any:
    package = pytest.importorskip(
        "anthropic", reason="anthropic is not installed; it comes with the extra `instrumented`"
    )
    return getattr(package, kind)(base_url=server.root, api_key="k", timeout=30, max_retries=0)


def generator(stream: Any) -> Iterator[Any]:
    for each in stream:
        yield each.choices[0].delta.content


def around(stream: Any) -> Iterator[Any]:
    yield from generator(stream)


class Holder:
    """An iterator of the user's own, with the stream in a given attribute."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._stream)


SYNC: dict[str, Callable[[Scripted], Any]] = {}
ASYNC: dict[str, Callable[[Scripted], Any]] = {}


def sync(function: Callable[[Scripted, Callable[[Any], None]], None]) -> None:
    SYNC[function.__name__.removeprefix("of_")] = function  # type: ignore[assignment]


def asynchronous(function: Any) -> None:
    ASYNC[function.__name__.removeprefix("of_")] = function


@sync
def of_create(server: Scripted, pull: Any) -> None:
    pull(sdk(server).chat.completions.create(**BODY, stream=True))


@sync
def of_helper(server: Scripted, pull: Any) -> None:
    with sdk(server).chat.completions.stream(**BODY) as stream:
        pull(stream)


@sync
def of_responses(server: Scripted, pull: Any) -> None:
    pull(sdk(server).responses.create(**INPUT, stream=True))


@sync
def of_responses_helper(server: Scripted, pull: Any) -> None:
    with sdk(server).responses.stream(**INPUT) as stream:
        pull(stream)


@sync
def of_raw_response(server: Scripted, pull: Any) -> None:
    pull(sdk(server).chat.completions.with_raw_response.create(**BODY, stream=True).parse())


@sync
def of_streaming_response_lines(server: Scripted, pull: Any) -> None:
    with sdk(server).chat.completions.with_streaming_response.create(**BODY, stream=True) as answer:
        pull(answer.iter_lines())


@sync
def of_streaming_response_bytes(server: Scripted, pull: Any) -> None:
    with sdk(server).chat.completions.with_streaming_response.create(**BODY, stream=True) as answer:
        pull(answer.iter_bytes())


@sync
def of_streaming_response_parsed(server: Scripted, pull: Any) -> None:
    with sdk(server).chat.completions.with_streaming_response.create(**BODY, stream=True) as answer:
        pull(answer.parse())


@sync
def of_a_generator(server: Scripted, pull: Any) -> None:
    pull(generator(sdk(server).chat.completions.create(**BODY, stream=True)))


@sync
def of_a_generator_in_another(server: Scripted, pull: Any) -> None:
    pull(around(sdk(server).chat.completions.create(**BODY, stream=True)))


@sync
def of_a_generator_that_opens_it(server: Scripted, pull: Any) -> None:
    def opens() -> Iterator[Any]:
        with sdk(server).chat.completions.create(**BODY, stream=True) as stream:
            yield from stream

    pull(opens())


@sync
def of_a_generator_that_reads_bytes(server: Scripted, pull: Any) -> None:
    def opens() -> Iterator[Any]:
        with httpx2.stream(
            "POST", server.base_url + "/chat/completions", json=BODY, timeout=30
        ) as answer:
            yield from answer.iter_bytes()

    pull(opens())


@sync
def of_a_generator_expression(server: Scripted, pull: Any) -> None:
    pull(
        each.choices[0].delta.content
        for each in sdk(server).chat.completions.create(**BODY, stream=True)
    )


@sync
def of_an_iterator_of_ones_own(server: Scripted, pull: Any) -> None:
    pull(Holder(sdk(server).chat.completions.create(**BODY, stream=True)))


@sync
def of_anthropic(server: Scripted, pull: Any) -> None:
    pull(anthropic(server, "Anthropic").messages.create(**BODY, max_tokens=9, stream=True))


@sync
def of_anthropic_helper(server: Scripted, pull: Any) -> None:
    with anthropic(server, "Anthropic").messages.stream(**BODY, max_tokens=9) as stream:
        pull(stream)


@sync
def of_anthropic_text(server: Scripted, pull: Any) -> None:
    with anthropic(server, "Anthropic").messages.stream(**BODY, max_tokens=9) as stream:
        pull(stream.text_stream)


@asynchronous
async def of_create_async(server: Scripted, pull: Any) -> None:
    await pull(await asdk(server).chat.completions.create(**BODY, stream=True))


@asynchronous
async def of_helper_async(server: Scripted, pull: Any) -> None:
    async with asdk(server).chat.completions.stream(**BODY) as stream:
        await pull(stream)


@asynchronous
async def of_responses_async(server: Scripted, pull: Any) -> None:
    await pull(await asdk(server).responses.create(**INPUT, stream=True))


@asynchronous
async def of_responses_helper_async(server: Scripted, pull: Any) -> None:
    async with asdk(server).responses.stream(**INPUT) as stream:
        await pull(stream)


@asynchronous
async def of_raw_response_async(server: Scripted, pull: Any) -> None:
    await pull(
        (await asdk(server).chat.completions.with_raw_response.create(**BODY, stream=True)).parse()
    )


@asynchronous
async def of_streaming_response_async(server: Scripted, pull: Any) -> None:
    async with asdk(server).chat.completions.with_streaming_response.create(
        **BODY, stream=True
    ) as answer:
        await pull(answer.iter_lines())


@asynchronous
async def of_a_generator_async(server: Scripted, pull: Any) -> None:
    stream = await asdk(server).chat.completions.create(**BODY, stream=True)
    await pull(each.choices[0].delta.content async for each in stream)


@asynchronous
async def of_anthropic_async(server: Scripted, pull: Any) -> None:
    await pull(
        await anthropic(server, "AsyncAnthropic").messages.create(**BODY, max_tokens=9, stream=True)
    )


@asynchronous
async def of_anthropic_helper_async(server: Scripted, pull: Any) -> None:
    async with anthropic(server, "AsyncAnthropic").messages.stream(**BODY, max_tokens=9) as stream:
        await pull(stream)


@asynchronous
async def of_anthropic_text_async(server: Scripted, pull: Any) -> None:
    async with anthropic(server, "AsyncAnthropic").messages.stream(**BODY, max_tokens=9) as stream:
        await pull(stream.text_stream)


def ends_on_time(server: Scripted, before: int, started: float) -> None:
    assert LIMIT <= time.monotonic() - started < LATEST
    assert len(server.requests) == before + 1
    assert server.requests[-1].left.wait(LATEST), "the server still sends"


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("opened", SYNC)
@at_once
def test_a_thread_disconnects_from_a_silent_server_on_time(opened: str) -> None:
    """The clock begins with the bounded stream, so it is read there."""
    started = 0.0
    with Scripted(silent) as server:

        def pull(stream: Any) -> None:
            nonlocal started
            started = time.monotonic()
            with pytest.raises(StreamDeadlineExceeded):
                list(bounded_sync(stream, LIMIT))
            ends_on_time(server, 0, started)

        SYNC[opened](server, pull)  # type: ignore[call-arg]
    assert started


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("opened", ASYNC)
@at_once
def test_an_event_loop_disconnects_from_a_silent_server_on_time(opened: str) -> None:
    started = 0.0
    with Scripted(silent) as server:

        async def pull(stream: Any) -> None:
            nonlocal started
            started = time.monotonic()
            with pytest.raises(StreamDeadlineExceeded):
                async for _ in bounded(stream, LIMIT):
                    pass
            await asyncio.to_thread(ends_on_time, server, 0, started)

        asyncio.run(ASYNC[opened](server, pull))  # type: ignore[call-arg]
    assert started


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("part", ["iter_lines", "iter_bytes", "iter_text", "iter_raw"])
@pytest.mark.parametrize("family", [httpx2, OTHER], ids=["httpx2", "httpx"])
@pytest.mark.parametrize("warm", [False, True], ids=["new", "pooled"])
@at_once
def test_the_parts_of_a_response_are_bounded(warm: bool, family: Any, part: str) -> None:
    first = iter([Answer([b"warm"])] if warm else [])
    with (
        Scripted(lambda request: next(first, silent(request))) as server,
        family.Client(trust_env=False, timeout=30) as client,
    ):
        if warm:
            client.get(server.root)
        with client.stream("POST", server.base_url, json=BODY) as answer:
            started = time.monotonic()
            with pytest.raises(StreamDeadlineExceeded):
                list(bounded_sync(getattr(answer, part)(), LIMIT))
            ends_on_time(server, int(warm), started)
        assert len({request.connection for request in server.requests}) == 1

    first = iter([Answer([b"warm"])] if warm else [])

    async def main() -> None:
        with Scripted(lambda request: next(first, silent(request))) as server:
            async with family.AsyncClient(trust_env=False, timeout=30) as client:
                if warm:
                    await client.get(server.root)
                async with client.stream("POST", server.base_url, json=BODY) as answer:
                    started = time.monotonic()
                    with pytest.raises(StreamDeadlineExceeded):
                        async for _ in bounded(getattr(answer, "a" + part)(), LIMIT):
                            pass
                    await asyncio.to_thread(ends_on_time, server, int(warm), started)

    asyncio.run(main())


@pytest.mark.parametrize("opened", ["create", "helper", "a_generator", "streaming_response_lines"])
def test_a_consumer_that_does_not_pull_does_not_keep_a_server_busy(
    opened: str, server: Scripted
) -> None:
    def pull(stream: Any) -> None:
        items = bounded_sync(stream, LIMIT)
        next(items)
        assert server.requests[-1].left.wait(LATEST)
        with pytest.raises(StreamDeadlineExceeded):
            next(items)

    SYNC[opened](server, pull)  # type: ignore[call-arg]


class Opaque:
    """A source without a connection, which waits for something else."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.free.wait(2 * LIMIT)
        return 1


def test_a_source_without_a_connection_gives_one_warning() -> None:
    entrances._warned.discard(Opaque)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(3):
            with pytest.raises(StreamDeadlineExceeded):
                list(bounded_sync(Opaque(), LIMIT))
    ours = [each for each in said if issubclass(each.category, RuntimeWarning)]
    assert len(ours) == 1
    assert "Opaque" in str(ours[0].message)
    assert "interrupt=" in str(ours[0].message)


async def test_an_asynchronous_source_without_a_connection_gives_no_warning() -> None:
    """Cancelling ends it as well."""

    async def silent() -> AsyncIterator[int]:
        await asyncio.sleep(60)
        yield 1

    entrances._warned.discard(type(silent()))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(StreamDeadlineExceeded):
            await anext(bounded(silent(), 0.05))
    assert said == []


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_source_with_an_interrupt_gives_no_warning() -> None:
    entrances._warned.discard(Opaque)
    source = Opaque()
    with pytest.raises(StreamDeadlineExceeded):
        list(bounded_sync(source, LIMIT, interrupt=source.free.set))


WHOLE = Answer([delta("a"), delta("b", finish="stop"), b"data: [DONE]\n\n"])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("opened", ["SDK", "raw"])
def test_an_answer_that_ends_at_the_deadline_gives_no_warning(opened: str) -> None:
    """Its connection is back in the pool then, and there is nothing to end."""
    entrances._warned.discard(openai.Stream)
    with Scripted(WHOLE) as server, sdk(server) as client:
        completions = client.chat.completions
        if opened == "raw":
            stream: Any = completions.with_raw_response.create(**BODY, stream=True).parse()
        else:
            stream = completions.create(**BODY, stream=True)
        assert len(list(stream)) == 2
        entrances.interrupter(stream, CallGroup(), blocking=True)(True)


def test_a_generator_that_has_read_one_answer_and_waits_for_another_gives_the_warning() -> None:
    waits, free = threading.Event(), threading.Event()

    def one_after_the_other(client: openai.OpenAI) -> Iterator[Any]:
        yield from (first := client.chat.completions.create(**BODY, stream=True))
        assert first.response.is_closed
        waits.set()
        free.wait(LATEST)

    with Scripted(WHOLE) as server, sdk(server) as client:
        items = one_after_the_other(client)
        thread = threading.Thread(target=list, args=(items,))
        thread.start()
        try:
            assert waits.wait(LATEST)
            entrances._warned.discard(type(items))
            entrances.interrupter(items, CallGroup(), blocking=True)(True)
            with pytest.warns(RuntimeWarning, match="no HTTP connection was found"):
                wait(lambda: type(items) in entrances._warned)
        finally:
            free.set()
            thread.join()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_generator_whose_answer_ends_at_the_deadline_gives_no_warning() -> None:
    def parts(client: openai.OpenAI) -> Iterator[Any]:
        yield from (stream := client.chat.completions.create(**BODY, stream=True))
        entrances.interrupter(items, CallGroup(), blocking=True)(True)
        assert stream.response.is_closed

    with Scripted(WHOLE) as server, sdk(server) as client:
        items = parts(client)
        entrances._warned.discard(type(items))
        assert len(list(items)) == 2
        [timer] = [each for each in threading.enumerate() if each.name == TIMER]
        timer.join()
    assert type(items) not in entrances._warned


def test_a_generator_that_is_dropped_at_the_deadline_gives_no_warning() -> None:
    def none() -> Iterator[int]:
        yield 1

    items = none()
    entrances._warned.discard(type(items))
    entrances.interrupter(items, CallGroup(), blocking=True)(True)
    del items
    [timer] = [each for each in threading.enumerate() if each.name == TIMER]
    timer.join()
    assert type(none()) not in entrances._warned


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_event_loop_needs_no_connection_to_end_a_source() -> None:
    async def opaque() -> Any:
        while True:
            await asyncio.sleep(30)
            yield 1

    async def main() -> None:
        with pytest.raises(StreamDeadlineExceeded):
            async for _ in bounded(opaque(), LIMIT):
                pass

    asyncio.run(main())


def test_a_stream_that_ends_in_time_is_whole_and_its_client_stays_usable() -> None:
    with Scripted(WHOLE) as server:
        client = sdk(server)
        for _ in range(2):
            chunks = list(bounded_sync(client.chat.completions.create(**BODY, stream=True), 20))
            assert [each.choices[0].delta.content for each in chunks] == ["a", "b"]
