"""What Python reports beside the calls, and what of that is none of the library's."""

import asyncio
import contextlib
import gc
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2
import pytest

from stream_lab.soak.complaints import AT_THE_END, CLOSES_ALREADY, RUNS_ALREADY, Complaints


class Body(httpx2.AsyncByteStream):
    """An endless body that is being closed until a test lets it go on."""

    def __init__(self) -> None:
        self.is_closing, self.may_close = threading.Event(), threading.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            self.is_closing.set()
            self.may_close.wait(10)


class Cycle:
    """What the collector has to find, since it refers to itself."""

    def __init__(self, inside: Any) -> None:
        self.inside, self.me = inside, self


async def collected_while_closed() -> None:
    """Let another thread collect a chain of generators, and the loop close it meanwhile."""
    loop = asyncio.get_running_loop()
    body = Body()

    def close(generator: AsyncGenerator[Any]) -> None:
        if not body.is_closing.is_set():
            asyncio.run_coroutine_threadsafe(generator.aclose(), loop)
            assert body.is_closing.wait(10)

    sys.set_asyncgen_hooks(finalizer=close)
    response = httpx2.Response(200, stream=body)
    chain = Cycle(response.aiter_bytes())
    await anext(chain.inside)

    def collect() -> None:
        gc.collect()
        body.may_close.set()

    del response, chain
    await loop.run_in_executor(None, collect)


def reports() -> list[str]:
    complaints = Complaints()
    gc.collect()
    gc.disable()
    try:
        with complaints.listening():
            asyncio.run(collected_while_closed())
    finally:
        gc.enable()
    return complaints.take()


def test_the_generators_of_a_client_that_its_loop_closes_are_no_complaint() -> None:
    """Two threads close them then: the collector's, and the loop's."""
    said = reports()
    assert not any("Response.aiter_raw" in each for each in said)
    [of_the_body] = said
    assert "Body.__aiter__" in of_the_body
    assert RUNS_ALREADY in of_the_body


def test_another_error_in_a_client_s_generator_is_a_complaint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream_lab.soak.complaints.RUNS_ALREADY", "something else")
    said = reports()
    assert any("Response.aiter_raw" in each for each in said)


@pytest.mark.parametrize("by_the_collector", [True, False])
def test_a_task_that_a_closed_loop_never_ran_is_a_complaint_unless_the_collector_made_it(
    by_the_collector: bool,
) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    complaints, loop = Complaints(), asyncio.new_event_loop()
    with complaints.listening(loop):
        generator: Any = numbers()
        loop.run_until_complete(anext(generator))
        task = loop.create_task(generator.aclose() if by_the_collector else asyncio.sleep(9))
        loop.close()
        del task, generator
        said = complaints.take()
    assert any("Task was destroyed" in each for each in said) is not by_the_collector


@pytest.mark.parametrize("at_the_end", [True, False])
@pytest.mark.parametrize("by_the_collector", [True, False])
def test_generators_that_the_collector_has_a_loop_close_twice_are_no_complaint(
    by_the_collector: bool, at_the_end: bool
) -> None:
    """A task closes the inner generator, while another one closes the outer."""

    async def inner() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(9)
            await asyncio.sleep(0.05)

    async def outer(inside: Any) -> AsyncIterator[int]:
        try:
            async for each in inside:
                yield each
        finally:
            try:
                if at_the_end:
                    await asyncio.sleep(9)
            finally:
                await inside.aclose()

    async def close(generator: Any) -> None:
        await generator.aclose()

    async def leave() -> None:
        inside: Any = inner()
        outside: Any = outer(inside)
        await anext(outside)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(complaints.of_loop)
        tasks = {
            loop.create_task(each.aclose() if by_the_collector else close(each))
            for each in (inside, outside)
        }
        await asyncio.sleep(0)
        tasks.clear()

    complaints = Complaints()
    asyncio.run(leave())
    said = complaints.take()
    assert len(said) == (0 if by_the_collector else 1), said
    assert all(CLOSES_ALREADY in each and (AT_THE_END in each) is at_the_end for each in said)
