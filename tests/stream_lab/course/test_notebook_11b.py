"""Natural answers to the exercises of 11b: right ones pass, a message names each mistake."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.stream_lab.course.checked import OPEN, RIGHT, checked

Stored = Callable[[Any], AsyncIterator[tuple[int, str]]]
DONE = {"event": "done", "data": "[DONE]"}


def last(request: Request) -> int:
    return int(request.headers.get("last-event-id", 0))


def feed(
    start: Callable[[Request], Any] = last,
    event: Callable[[int, int, str], dict[str, str]] = lambda n, i, text: {
        "data": text,
        "id": str(n),
    },
    end: tuple[dict[str, str], ...] = (DONE,),
) -> Any:
    async def resumable(request: Request, stored: Stored) -> Response:
        async def each() -> AsyncIterator[dict[str, str]]:
            i = 0
            async for number, text in stored(start(request)):
                i += 1
                yield event(number, i, text)
            for each in end:
                yield each

        return EventSourceResponse(each())

    return resumable


async def with_204(request: Request, stored: Stored) -> Response:
    if request.headers.get("Last-Event-ID") == "1000":
        return Response(status_code=204)
    done = ({**DONE, "id": "1000"},)
    response: Response = await feed(end=done)(request, stored)
    return response


def by_hand(request: Request, stored: Stored) -> Response:
    async def lines() -> AsyncIterator[str]:
        async for number, text in stored(last(request)):
            yield f"id: {number}\nevent: token\ndata: {json.dumps(text)}\n\n"
        yield "event: done\ndata: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


async def always_204(request: Request, stored: Stored) -> Response:
    if "last-event-id" in request.headers:
        return Response(status_code=204)
    response: Response = await feed()(request, stored)
    return response


async def a_generator(request: Request, stored: Stored) -> AsyncIterator[dict[str, str]]:
    async for number, text in stored(last(request)):
        yield {"data": text, "id": str(number)}


async def nothing(request: Request, stored: Stored) -> None:
    EventSourceResponse(stored(0))


async def as_json(request: Request, stored: Stored) -> list[str]:
    return [text async for _, text in stored(last(request))]


async def untouched(request: Request, stored: Stored) -> None:
    raise NotImplementedError


ids_of_its_own = feed(
    lambda request: int(request.headers.get("last-event-id", "0/8").partition("/")[0]),
    lambda n, i, text: {"data": text, "id": f"{n}/8"},
)


@pytest.mark.parametrize(
    "answer",
    [feed(), with_204, by_hand, ids_of_its_own],
    ids=["feed", "with_204", "by_hand", "ids_of_its_own"],
)
def test_a_feed_that_goes_on_where_the_browser_was_is_right(answer: Any) -> None:
    assert checked("11b", "1", answer) == RIGHT


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (feed(lambda request: 0), "begins again"),
        (feed(event=lambda n, i, text: {"data": text}), "no id"),
        (feed(lambda request: max(last(request) - 1, 0)), "comes twice"),
        (feed(lambda request: last(request) + bool(last(request))), "no +1"),
        (feed(lambda request: request.headers["last-event-id"]), "headers.get"),
        (feed(lambda request: request.headers.get("last-event-id", 0)), "string"),
        (feed(lambda request: request.headers.get("last-event-id")), "got None"),
        (feed(event=lambda n, i, text: {"data": text, "id": str(i)}), "After a second cut"),
        (feed(end=()), "`done` is missing"),
        (always_204, "half an answer"),
        (a_generator, "generator itself"),
        (nothing, "returns None"),
        (as_json, "application/json"),
        (feed(lambda request: len(request.headers)), "first pieces"),
        (feed(event=lambda n, i, text: {"data": text, "id": n.missing}), "AttributeError"),  # type: ignore[attr-defined]
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_feed_that_cannot_be_resumed_is_named(answer: Any, word: str) -> None:
    assert word in checked("11b", "1", answer)


def steps(*names: str) -> Any:
    """Return a shutdown of these steps, such as "sleep 5"."""

    async def shut_down(service: Any) -> None:
        for step in names:
            name, *seconds = step.split()
            result = getattr(service, name)(*map(float, seconds))
            if result is not None:
                await result

    return shut_down


async def with_asyncio_sleep(service: Any) -> None:
    service.fail_health_probe()
    await asyncio.sleep(1.1)
    service.exit()


PROBE, STOP, EXIT = "fail_health_probe", "stop_accepting", "exit"


@pytest.mark.parametrize(
    "answer",
    [
        steps(PROBE, "sleep 5", STOP, "wait_for_streams 20", EXIT),
        steps(PROBE, "sleep 6", "wait_for_streams 15", EXIT),
        steps(PROBE, "sleep 5", STOP, "sleep 15", EXIT),
        steps(PROBE, "wait_for_streams 20", EXIT),
    ],
    ids=["usual", "without_stop", "sleeps", "one_wait"],
)
def test_a_shutdown_that_loses_nothing_is_right(answer: Any) -> None:
    assert checked("11b", "2", answer) == RIGHT


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (steps(EXIT), "refused"),
        (steps(STOP, PROBE, "sleep 5", "wait_for_streams 20", EXIT), "refused"),
        (steps(PROBE, STOP, "sleep 5", "wait_for_streams 20", EXIT), "refused"),
        (steps(STOP, "wait_for_streams 20", EXIT), "refused"),
        (steps(PROBE, "sleep 5", STOP, EXIT), "was cut"),
        (steps(PROBE, "sleep 5", STOP, "wait_for_streams 10", EXIT), "was cut"),
        (steps(PROBE, "sleep 5", STOP, "wait_for_streams 60", EXIT), "never ends kept"),
        (steps(PROBE, "sleep 20", STOP, "sleep 15", EXIT), "30 s after TERM"),
        (steps(PROBE, "sleep 5", STOP, "wait_for_streams 20"), "exit() is missing"),
        (with_asyncio_sleep, "asyncio.sleep knows"),
        (lambda service: None, "async def"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_shutdown_that_loses_something_is_named(answer: Any, word: str) -> None:
    assert word in checked("11b", "2", answer)


def test_an_untouched_answer_is_not_a_wrong_one() -> None:
    async def nothing_yet(service: Any) -> None:
        raise NotImplementedError

    assert checked("11b", "1", untouched) == OPEN
    assert checked("11b", "2", nothing_yet) == OPEN
