"""Natural answers to the exercises of 11: right ones pass, a message names each mistake."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse

from tests.stream_lab.course.checked import OPEN, RIGHT, checked

Ask = Callable[[int], Iterator[str]]


def with_handler(handler: Callable[[Ask], Any], path: str = "/answer") -> Callable[[Ask], FastAPI]:
    def make(ask: Ask) -> FastAPI:
        app = FastAPI()
        app.get(path, response_model=None)(handler(ask))
        return app

    return make


def a_plain_handler(ask: Ask) -> Any:
    def answer(tokens: int) -> dict[str, str]:
        return {"text": "".join(ask(tokens))}

    return answer


def to_thread(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        return {"text": await asyncio.to_thread(lambda: "".join(ask(tokens)))}

    return answer


def threadpool(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        return {"text": "".join(await run_in_threadpool(lambda: list(ask(tokens))))}

    return answer


def piece_by_piece_in_threads(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        return {"text": "".join([piece async for piece in iterate_in_threadpool(ask(tokens))])}

    return answer


def as_it_was(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        return {"text": "".join(ask(tokens))}

    return answer


def only_the_call_in_a_thread(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        return {"text": "".join(await asyncio.to_thread(ask, tokens))}

    return answer


def a_turn_for_the_loop(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        pieces = []
        for piece in ask(tokens):
            pieces.append(piece)
            await asyncio.sleep(0)
        return {"text": "".join(pieces)}

    return answer


def a_task(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        async def collect() -> str:
            return "".join(ask(tokens))

        return {"text": await asyncio.create_task(collect())}

    return answer


def async_for(ask: Ask) -> Any:
    async def answer(tokens: int) -> dict[str, str]:
        return {"text": "".join([piece async for piece in ask(tokens)])}  # type: ignore[attr-defined]

    return answer


def a_stream(ask: Ask) -> Any:
    def answer(tokens: int) -> StreamingResponse:
        return StreamingResponse(ask(tokens))

    return answer


def half(ask: Ask) -> Any:
    def answer(tokens: int) -> dict[str, str]:
        return {"text": next(ask(tokens))}

    return answer


WORKS = [a_plain_handler, to_thread, threadpool, piece_by_piece_in_threads]


@pytest.mark.parametrize("handler", WORKS, ids=lambda each: each.__name__)
def test_a_handler_that_leaves_the_loop_alone_is_right(handler: Any) -> None:
    assert checked("11", "1", with_handler(handler)) == RIGHT


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (with_handler(as_it_was), "stood still until"),
        (with_handler(a_task), "stood still until"),
        (with_handler(only_the_call_in_a_thread), "only called `ask`"),
        (with_handler(a_turn_for_the_loop), "stutters"),
        (with_handler(async_for), "plain generator"),
        (with_handler(a_stream), "no longer the JSON"),
        (with_handler(half), "not the whole text"),
        (with_handler(a_plain_handler, "/text"), "status 404"),
        (lambda ask: None, "returns None"),
        (FastAPI(), "function that makes"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_handler_that_blocks_or_changes_the_answer_is_named(answer: Any, word: str) -> None:
    assert word in checked("11", "1", answer)


SYMPTOMS = {
    "A": "longer timeout",
    "B": "unblock the code",
    "C": "unblock the code",
    "D": "state outside the workers",
}


@pytest.mark.parametrize(
    "changed", [{}, {"A": "other worker class"}, {"B": "Unblock the code "}], ids=str
)
def test_the_repairs_that_touch_the_cause_are_right(changed: dict[str, str]) -> None:
    assert checked("11", "2", {**SYMPTOMS, **changed}) == RIGHT


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ({**SYMPTOMS, "A": "unblock the code"}, "always blocks"),
        ({**SYMPTOMS, "B": "longer timeout"}, "stand still instead"),
        ({**SYMPTOMS, "C": "more memory"}, "guess"),
        ({**SYMPTOMS, "C": "other worker class"}, "SIGABRT"),
        ({**SYMPTOMS, "D": "more workers"}, "more memories"),
        ({**SYMPTOMS, "D": "unblock the code"}, "does not touch the cause"),
        ({**SYMPTOMS, "D": ...}, "D has no repair yet"),
        ({**SYMPTOMS, "A": "--timeout 180"}, "not among the repairs"),
        ({"A": "longer timeout"}, "keys A, B, C and D"),
        ("unblock the code", "a dict"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_repair_that_misses_the_cause_is_named(answer: Any, word: str) -> None:
    assert word in checked("11", "2", answer)


def test_an_untouched_answer_is_not_a_wrong_one() -> None:
    def untouched(ask: Ask) -> Any:
        async def answer(tokens: int) -> dict[str, str]:
            raise NotImplementedError

        return answer

    assert checked("11", "1", with_handler(untouched)) == OPEN
    assert checked("11", "2", dict.fromkeys("ABCD", ...)) == OPEN
