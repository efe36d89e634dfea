"""The checkers of notebook 09: right answers of several kinds, and natural mistakes."""

import asyncio
import time
from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from stream_deadline.asgi import DeadlineMiddleware
from stream_lab.course.exercises import notebook_09
from tests.stream_lab.course.answers import is_right, is_wrong, solution


async def listens(request: Any, work: Any) -> Any:
    async def disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    both = [asyncio.ensure_future(work()), asyncio.ensure_future(disconnect())]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return both[0].result() if both[0].done() else None
    finally:
        for task in both:
            task.cancel()


async def task_group(request: Any, work: Any) -> Any:
    result = None
    try:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while not await request.is_disconnected():  # noqa: ASYNC110
                    await anyio.sleep(0.1)
                group.cancel_scope.cancel()

            group.start_soon(watch)
            result = await work()
            group.cancel_scope.cancel()
    except* ConnectionError as failed:
        raise failed.exceptions[0] from None
    return result


@pytest.mark.parametrize("answer", [solution("09", "answer"), listens, task_group])
def test_each_way_to_notice_the_client_is_right(answer: Any) -> None:
    is_right("09.1", answer)


async def only_works(request: Any, work: Any) -> Any:
    return await work()


async def asks_before(request: Any, work: Any) -> Any:
    return None if await request.is_disconnected() else await work()


async def leaves_the_task(request: Any, work: Any) -> Any:
    task = asyncio.create_task(work())
    while not task.done() and not await request.is_disconnected():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return task.result() if task.done() else None


async def takes_any_message(request: Any, work: Any) -> Any:
    task, message = asyncio.create_task(work()), asyncio.create_task(request.receive())
    await asyncio.wait({task, message}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    return None


async def gives_up(request: Any, work: Any) -> Any:
    return await asyncio.wait_for(work(), 0.4)


async def hides(request: Any, work: Any) -> Any:
    try:
        return await listens(request, work)
    except Exception:
        return None


async def looks_seldom(request: Any, work: Any) -> Any:
    task = asyncio.create_task(work())
    while not task.done():
        await asyncio.sleep(1)
        if await request.is_disconnected():
            task.cancel()
            return None
    return task.result()


async def forgets_the_result(request: Any, work: Any) -> Any:
    await listens(request, work)


def blocks(request: Any, work: Any) -> Any:
    return asyncio.run(work())


@pytest.mark.filterwarnings("ignore:coroutine")  # of the answer that runs a second loop
@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (only_works, "still went on"),
        (asks_before, "still went on"),
        (looks_seldom, "still went on"),
        (leaves_the_task, "cancel that task"),
        (takes_any_message, "http.disconnect"),
        (gives_up, "only when the client disconnects"),
        (hides, "hid that"),
        (forgets_the_result, "must get what"),
        (blocks, "RuntimeError"),
        (lambda request, work: None, "async def"),
        ("is_disconnected", "function"),
    ],
)
def test_a_handler_that_does_not_notice_is_told_apart(answer: Any, word: str) -> None:
    is_wrong("09.1", word, answer)


async def polls_asleep(request: Any, work: Any) -> Any:
    task = asyncio.create_task(work())
    for _ in range(20):  # a reader's loop would not end
        time.sleep(0.1)  # noqa: ASYNC251
        if task.done() or await request.is_disconnected():
            break
    return task.result()


def test_a_handler_that_blocks_its_event_loop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_09, "BLOCKED_AFTER", 0.5)
    is_wrong("09.1", "neither yields nor waits", polls_asleep)


def default(app: FastAPI) -> None:
    app.add_middleware(DeadlineMiddleware, default_timeout=0.4)


def wraps(app: FastAPI) -> Any:
    return DeadlineMiddleware(app, default_timeout=0.5)


def bounds_the_most(app: FastAPI) -> FastAPI:
    app.add_middleware(DeadlineMiddleware, max_timeout=0.5)
    return app


@pytest.mark.parametrize("answer", [solution("09", "repair"), default, wraps, bounds_the_most])
def test_each_way_to_add_the_middleware_is_right(answer: Any) -> None:
    is_right("09.2", answer)


async def asynchronous(app: FastAPI) -> None:
    default(app)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda app: None, "went on"),
        (lambda app: (DeadlineMiddleware(app, default_timeout=0.5), None)[1], "went on"),
        (lambda app: app.add_middleware(DeadlineMiddleware), "default_timeout"),
        (lambda app: app.add_middleware(DeadlineMiddleware(app)), "Error"),
        (lambda app: app.add_middleware(DeadlineMiddleware, timeout=0.5), "TypeError"),
        (asynchronous, "async"),
        (DeadlineMiddleware, "default_timeout"),
    ],
)
def test_an_application_that_is_not_repaired_is_shown_the_request_that_fails(
    answer: Any, word: str
) -> None:
    is_wrong("09.2", word, answer)
