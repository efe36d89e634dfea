"""The exercises of notebook 09: a handler that notices its client, and the middleware."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from stream_lab.course.asgi_client import TEXT, Client, Work, ends_within, without_warnings
from stream_lab.course.exercise import Wrong, exercise
from stream_lab.course.own_loop import in_own_loop

STAYS = 0.4  # seconds that the work takes whose client stays
LEAVES = 0.15  # seconds after which the other clients disconnect
NOTICED_WITHIN = 0.5
LONG = 20.0  # seconds that their work would take
BLOCKED_AFTER = 5.0  # seconds; an answer that blocks its event loop never ends
DEFAULT = 0.5  # seconds that the second exercise asks for

Answer = Callable[..., Any]


@exercise(
    "09.1",
    hints=(
        "While `await work()` runs, your function cannot look at anything else. "
        "Run the work in a task: `asyncio.create_task(work())`.",
        "Look at `await request.is_disconnected()` a few times a second until the task is done.",
    ),
    idea="Start the work as a task. While it is not done, wait for it for a tenth of a second with "
    "`asyncio.wait({task}, timeout=0.1)`, and ask `request.is_disconnected()`. If the client has "
    "disconnected, cancel the task.",
)
async def answer(function: Answer) -> None:
    """Check a handler with a client that stays, one that disconnects, and work that fails."""
    if not callable(function):
        raise Wrong("Write a function `answer(request, work)`.")

    async def tries() -> None:
        await _stays(function)
        await _leaves(function)
        await _fails(function)

    await in_own_loop(tries, limit=BLOCKED_AFTER)


@exercise(
    "09.2",
    hints=(
        "FastAPI's `add_middleware` takes the class, and its arguments by name.",
        "The middleware's `default_timeout` bounds requests that name no deadline.",
    ),
    idea="Two lines: import `DeadlineMiddleware` from `stream_deadline.asgi`, and "
    "`app.add_middleware(…)` with the class and `default_timeout`.",
)
async def repair(function: Answer) -> None:
    """Check a function that adds the middleware to an application, by what it then does."""
    if not callable(function):
        raise Wrong("Write a function `repair(app)`.")
    repaired, work = _application(function)
    client = Client()
    running = asyncio.create_task(_run(repaired, client))
    await asyncio.sleep(LEAVES)
    client.gone.set()
    noticed = await ends_within(work.over, NOTICED_WITHIN)
    failed = running.done() and not running.cancelled() and running.exception()
    await _end(running)
    if failed:  # Starlette makes a middleware when the first request comes
        raise failed
    if not work.started:
        raise Wrong("The handler was not called at all; does your function return something else?")
    if not noticed:
        raise Wrong(
            "The client disconnected, and the handler's work went on. The middleware is not there: "
            "add it to `app`, or return the application that it makes."
        )
    await _bounded(
        function,
        {"x-timeout-ms": "300"},
        "A request with `X-Timeout-Ms: 300` was not answered with status 504 in time.",
    )
    await _bounded(
        function,
        {},
        "A request that names no deadline is not bounded: give the middleware a `default_timeout` "
        f"of {DEFAULT:g} s.",
    )


async def _stays(function: Answer) -> None:
    client, work = Client(), Work(STAYS)
    task = _call(function, client, work)
    done, _ = await asyncio.wait({task}, timeout=STAYS + 2)
    if not done:
        await _end(task)
        raise Wrong("The client stays, the work is done, and your function does not return.")
    if task.cancelled() or isinstance(task.exception(), TimeoutError):
        raise Wrong(
            "A client that stays got an error: your function ends the work after a time. "
            "It should end it only when the client disconnects."
        )
    if (error := task.exception()) is not None:
        raise error
    if work.started > 1:
        raise Wrong("The work was started more than once.")
    if not work.whole:
        raise Wrong(
            "A client that stays got nothing: your function ended the work before the client "
            "disconnected. The first message of `request.receive()` is the request itself; "
            'a disconnect has the type "http.disconnect".'
        )
    if task.result() != TEXT:
        raise Wrong(f"A client that stays must get what `work()` returns, not {task.result()!r}.")


async def _leaves(function: Answer) -> None:
    client, work = Client(), Work(LONG)
    task = _call(function, client, work)
    await asyncio.sleep(LEAVES)
    client.gone.set()
    noticed = await ends_within(work.over, NOTICED_WITHIN)
    returned = task.done()
    await _end(task)
    if noticed:
        return
    if returned:
        raise Wrong(
            "Your function noticed the disconnect and returned, and the work went on in its task: "
            "cancel that task."
        )
    raise Wrong(f"The client disconnected, and {NOTICED_WITHIN:g} s later the work still went on.")


async def _fails(function: Answer) -> None:
    async def work() -> str:
        await asyncio.sleep(0.05)
        raise ConnectionError("the model is down")

    task = _call(function, Client(), work)
    await asyncio.wait({task}, timeout=2)
    failed = task.done() and not task.cancelled() and task.exception() is not None
    await _end(task)
    if not failed:
        raise Wrong("The work failed, and your function hid that. The error must come out of it.")


def _call(function: Answer, client: Client, work: Callable[[], Any]) -> "asyncio.Task[Any]":
    from fastapi import Request

    called = function(Request(client.scope, client.receive), work)
    if not isinstance(called, Coroutine):
        raise Wrong("Your function must be `async def`, since it has to wait.")
    return asyncio.create_task(called)


async def _bounded(function: Answer, headers: dict[str, str], otherwise: str) -> None:
    repaired, work = _application(function)
    client = Client(headers)
    running = asyncio.create_task(_run(repaired, client))
    await ends_within(work.over, DEFAULT + 0.5)
    await asyncio.wait({running}, timeout=0.5)
    status = client.status
    await _end(running)
    if status != 504:
        raise Wrong(otherwise)


def _application(function: Answer) -> tuple[Any, Work]:
    """Make an application with a middleware that hides disconnects, and repair it."""
    from fastapi import FastAPI

    app, work = FastAPI(), Work(LONG)

    @app.middleware("http")
    async def log(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app.add_api_route("/answer", work.__call__)
    repaired = function(app)
    if isinstance(repaired, Coroutine):
        repaired.close()
        raise Wrong("`repair` needs no `async`: it only adds the middleware.")
    return (app if repaired is None else repaired), work


async def _run(app: Any, client: Client) -> None:
    with without_warnings():
        await app(client.scope, client.receive, client.send)


async def _end(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and every task that the answer left, and wait for them."""
    task.cancel()
    for each in asyncio.all_tasks():
        code = getattr(each.get_coro(), "cr_code", None)
        if code is Work.__call__.__code__:
            each.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await asyncio.wait({task}, timeout=1)
        task.exception()
