"""Natural answers to the exercises of 12: right ones pass, a message names each mistake."""

import asyncio
import contextvars
import textwrap
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stream_lab.course.exercises import notebook_12
from tests.stream_lab.course.checked import OPEN, RIGHT, checked, from_cell

Inner = Callable[[float], Coroutine[Any, Any, None]]


def in_a_thread(coroutine: Any) -> Any:
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, coroutine).result()


def with_a_plain_thread(coroutine: Any) -> Any:
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["result"] = asyncio.run(coroutine)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def a_thread_only_where_needed(coroutine: Any) -> Any:
    import concurrent.futures as futures

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with futures.ThreadPoolExecutor() as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()


def asyncio_run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def run_until_complete(coroutine: Any) -> Any:
    return asyncio.new_event_loop().run_until_complete(coroutine)


def threadsafe(coroutine: Any) -> Any:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def only_the_running_loop(coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, asyncio.get_running_loop()).result()


def without_context(coroutine: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def context_copied_too_late(coroutine: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: contextvars.copy_context().run(asyncio.run, coroutine)).result()


def without_result(coroutine: Any) -> None:
    thread = threading.Thread(target=asyncio.run, args=(coroutine,))
    thread.start()
    thread.join()


def loses_errors(coroutine: Any) -> Any:
    results: list[Any] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            results.append(context.run(asyncio.run, coroutine))
        except Exception:
            return

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return results[0] if results else None


def returns_a_task(coroutine: Any) -> Any:
    return asyncio.ensure_future(coroutine)


def returns_it(coroutine: Any) -> Any:
    return coroutine


def nests(coroutine: Any) -> Any:
    import nest_asyncio  # type: ignore[import-untyped,unused-ignore]

    nest_asyncio.apply()
    return asyncio.run(coroutine)


async def a_coroutine_function(coroutine: Any) -> Any:
    return await coroutine


WORKS = [in_a_thread, with_a_plain_thread, a_thread_only_where_needed]


@pytest.mark.parametrize("answer", WORKS, ids=lambda each: each.__name__)
def test_a_function_that_gives_the_run_a_thread_is_right(answer: Any) -> None:
    assert checked("12", "1", answer) == RIGHT


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (asyncio_run, "give the run a thread"),
        (run_until_complete, "another"),
        (threadsafe, "hangs"),
        (only_the_running_loop, "no running event loop"),
        (without_context, "context variables"),
        (context_copied_too_late, "context variables"),
        (without_result, "returns None"),
        (loses_errors, "error is lost"),
        (returns_it, "returns a coroutine"),
        (nests, "do without"),
        (a_coroutine_function, "plain function"),
        (lambda coroutine: asyncio.run(coroutine), "def run_sync"),
        (3, "function itself"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_function_that_fails_somewhere_is_named(
    answer: Any, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer in (threadsafe, only_the_running_loop):
        monkeypatch.setattr(notebook_12, "HANGS_AFTER", 2.0)
    assert word in checked("12", "1", answer)


def test_the_whole_cell_and_the_imports_of_other_cells_go_along() -> None:
    cell = textwrap.dedent("""
        def helper(work):
            with Pool(1) as pool:
                return pool.submit(work).result()

        def run_sync(coroutine):
            context = cv.copy_context()
            return helper(lambda: context.run(asyncio.run, coroutine))
    """)
    run_sync = from_cell(cell, "run_sync", Pool=ThreadPoolExecutor, cv=contextvars, asyncio=asyncio)
    assert checked("12", "1", run_sync) == RIGHT


async def a(inner: Inner) -> None:
    async with asyncio.timeout(0.05):
        await inner(0.3)


async def b(inner: Inner) -> None:
    async with asyncio.timeout(0.3):
        await asyncio.to_thread(asyncio.run, inner(0.05))


async def c(inner: Inner) -> None:
    await b(inner)  # what nesting does to the third case is shown in the notebook


CASES = {"a": a, "b": b, "c": c}


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ({"a": "inner", "b": "inner", "c": "inner"}, "a: both scopes"),
        ({"a": "outer", "b": "outer", "c": "inner"}, "b: the inner scope"),
        ({"a": "outer", "b": "inner", "c": "outer"}, "c: the outer timer"),
        ({"a": "outer", "b": "both", "c": "inner"}, "not 'both'"),
        ({"a": "outer", "b": "inner", "c": ...}, "c has no answer"),
        ({"a": "outer"}, "keys a, b, c"),
        ("inner", "a dict"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_the_wrong_scope_is_named(answer: Any, word: str) -> None:
    assert word in checked("12", "2", answer, CASES)


def test_the_scope_that_fires_is_right() -> None:
    answer = {"a": "outer", "b": "inner", "c": "inner"}
    assert checked("12", "2", answer, CASES) == RIGHT


def test_an_untouched_answer_is_not_a_wrong_one() -> None:
    def run_sync(coroutine: Any) -> Any:
        raise NotImplementedError

    assert checked("12", "1", run_sync) == OPEN
    assert checked("12", "2", dict.fromkeys("abc", ...), CASES) == OPEN
