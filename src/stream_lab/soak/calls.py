"""Calls in an event loop: how each style begins, and what the caller does then."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

from langchain_core.runnables import RunnableGenerator, RunnablePassthrough

from stream_deadline import bounded
from stream_lab.soak.clients import QUESTION, Clients, headers, scope, timeout
from stream_lab.soak.outcome import LEFT, Outcome, ServedError, ServedLate
from stream_lab.soak.plan import Plan

SLOW, BUSY = 0.05, 0.03
"""Seconds that a caller takes for each chunk: it awaits, or it blocks its event loop."""
CLINGS = 0.8
"""Seconds after its cancellation at which a source that clings to its connection closes it."""
PATIENCE = 8.0
"""Seconds after the deadline of a request at which its client gives the application up."""


async def make(plan: Plan, clients: Clients, outcome: Outcome) -> None:
    """Make a call and do with it as planned; the outcome has the chunks."""
    outcome.begin(plan.limit)
    with scope(plan):
        call: Any = (_STREAMS if plan.style.streamed else _WHOLE)[base_name(plan)](plan, clients)
        if plan.makes_a_model:
            outcome.begin(plan.limit)
        await (_read(call, plan, outcome) if plan.style.streamed else call)


def base_name(plan: Plan) -> str:
    """Return the name of a style's function: in which loop it runs makes no difference."""
    return plan.style.name.removesuffix(", asyncio.run")


async def _read(stream: AsyncIterator[Any], plan: Plan, outcome: Outcome) -> None:
    """Pull a stream, and end it as the caller of this plan does."""
    async for _ in stream:
        outcome.note_chunk()
        if plan.ending == "slow":
            await asyncio.sleep(SLOW)
        elif plan.ending == "busy":
            time.sleep(BUSY)  # noqa: ASYNC251 - the caller that the library has to live with
        elif plan.ending == "hold" and outcome.chunks == 1:
            await asyncio.sleep(outcome.due + 0.2 - time.monotonic())
            outcome.act()
        elif plan.ending in ("close", "drop", "loop ends") and outcome.chunks >= plan.moment:
            outcome.act()
            outcome.end = LEFT
            if plan.ending == "close":
                await stream.aclose()  # type: ignore[attr-defined]
            elif plan.ending == "loop ends":
                outcome.kept = stream
            return


def _chain(plan: Plan, clients: Clients, parts: int = 2) -> Any:
    whole: Any = RunnablePassthrough() | clients.chat_vllm(plan)
    for _ in range(parts - 2):
        whole = whole | RunnableGenerator(pass_on_sync, pass_on)
    return whole


async def pass_on(parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Pass the parts of a stream on, as a parser in a chain does."""
    async for part in parts:
        yield part


def pass_on_sync(parts: Any) -> Any:
    """Do the same for a synchronous stream."""
    yield from parts


async def _events(plan: Plan, clients: Clients) -> AsyncIterator[Any]:
    events = _chain(plan, clients).astream_events(QUESTION, version="v2")
    async with aclosing(events):
        async for event in events:
            if event["event"] == "on_chat_model_stream":
                yield event


async def _sdk_chunks(plan: Plan, clients: Clients, http: Any = None) -> AsyncGenerator[Any]:
    async with await clients.sdk(plan, http).chat.completions.create(
        **clients.asks(plan)
    ) as stream:
        try:
            async for chunk in stream:
                yield chunk
        finally:
            # The SDK leaves it to the collector, which may run in any thread.
            await stream._iterator.aclose()


async def _own_sdk_chunks(plan: Plan, clients: Clients) -> AsyncIterator[Any]:
    """Yield the chunks of an SDK's client that belongs to this call."""
    async with (
        clients.bounded_http(plan, blocking=False) as http,
        aclosing(_sdk_chunks(plan, clients, http)) as chunks,
    ):
        async for chunk in chunks:
            yield chunk


async def _lines(plan: Plan, clients: Clients, http: Any) -> AsyncGenerator[str]:
    url = f"{clients.address(plan)}/chat/completions"
    async with http.stream("POST", url, json=clients.body(plan), headers=headers(plan)) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                return
            if line.startswith("data:"):
                yield line


async def _own_lines(plan: Plan, clients: Clients) -> AsyncIterator[str]:
    async with (
        clients.bounded_http(plan, blocking=False) as http,
        aclosing(_lines(plan, clients, http)) as lines,
    ):
        async for line in lines:
            yield line


async def _clinging(plan: Plan, clients: Clients) -> AsyncIterator[Any]:
    """Read in a task that a cancellation does not reach, and close the connection late."""
    stream = await clients.sdk(plan).chat.completions.create(**clients.asks(plan))
    pull: asyncio.Future[Any] | None = None
    try:
        while True:
            pull = asyncio.ensure_future(anext(stream, None))
            pull.add_done_callback(_retrieve)
            if (chunk := await asyncio.shield(pull)) is None:
                return
            yield chunk
    except asyncio.CancelledError:
        until = time.monotonic() + CLINGS
        while (left := until - time.monotonic()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(left)
        raise
    finally:
        if pull is not None:
            pull.cancel()
            await asyncio.wait({pull})
        await stream.close()
        await stream._iterator.aclose()


def _retrieve(pull: "asyncio.Future[Any]") -> None:
    if not pull.cancelled():
        pull.exception()


async def _in_own_loop(plan: Plan, clients: Clients) -> AsyncIterator[Any]:
    """Yield the chunks of a client that belongs to the event loop of this call."""
    from openai import DefaultAsyncHttpxClient

    async with (
        DefaultAsyncHttpxClient(**clients.settings(plan.pooled)) as http,
        aclosing(_sdk_chunks(plan, clients, http)) as chunks,
    ):
        async for chunk in chunks:
            yield chunk


async def _served_events(plan: Plan, clients: Clients) -> AsyncIterator[str]:
    async with clients.http(plan.pooled).stream("POST", **_asked(plan, clients, "events")) as got:
        if got.status_code != 200:
            await got.aread()
            _check(got.status_code, got.text)
        last = ""
        async for line in got.aiter_lines():
            if line.startswith("event:"):
                last = line.partition(":")[2].strip()
            elif line.startswith("data:") and last == "error":
                _check(0, line.removeprefix("data:"))
            elif line.startswith("data:"):
                yield line


async def _served(plan: Plan, clients: Clients, path: str) -> None:
    got = await clients.http(plan.pooled).post(**_asked(plan, clients, path))
    if got.status_code != 200:
        _check(got.status_code, got.text)


def _asked(plan: Plan, clients: Clients, path: str) -> dict[str, Any]:
    """Return a request to the application, which names its deadline in a header."""
    return {
        "url": f"{clients.served}/{path}",
        "json": {"scenario": plan.scenario, "number": plan.number, "url": clients.address(plan)},
        "headers": {"X-Timeout-Ms": f"{plan.limit * 1000:.0f}"},
        "timeout": plan.limit + PATIENCE,
    }


def _check(status: int, text: str) -> None:
    """Raise the error that the application has sent."""
    if status == 500:  # the web server's own, after an error that is not one of the SDK
        raise ServedError(text)
    try:
        kind = json.loads(text)["error"]["type"]
    except (ValueError, LookupError, TypeError):
        raise AssertionError(f"status {status} without an error in words: {text[:100]}") from None
    if kind == "deadline_exceeded":
        raise ServedLate(text)
    raise ServedError(text)


_STREAMS: dict[str, Callable[[Plan, Clients], AsyncIterator[Any]]] = {
    "astream": lambda plan, to: to.chat_vllm(plan).astream(QUESTION),
    "chain.astream": lambda plan, to: _chain(plan, to).astream(QUESTION),
    "chain of 5": lambda plan, to: _chain(plan, to, 5).astream(QUESTION),
    "astream_events": _events,
    "bounded_model.astream": lambda plan, to: to.bounded_model(plan).astream(QUESTION),
    "bounded, SDK": lambda plan, to: bounded(
        (_in_own_loop if plan.style.where == "own loop" else _sdk_chunks)(plan, to), timeout(plan)
    ),
    "bounded, httpx": lambda plan, to: bounded(
        _lines(plan, to, to.http(plan.pooled)), timeout(plan)
    ),
    "bounded, clings": lambda plan, to: bounded(_clinging(plan, to), timeout(plan)),
    "bounded_client, SDK": _own_sdk_chunks,
    "bounded_client, httpx": _own_lines,
    "served, events": _served_events,
}
_WHOLE: dict[str, Callable[[Plan, Clients], Awaitable[Any]]] = {
    "ainvoke": lambda plan, to: to.chat_vllm(plan).ainvoke(QUESTION),
    "ainvoke, streaming": lambda plan, to: (
        to.chat_vllm(plan).model_copy(update={"streaming": True}).ainvoke(QUESTION)
    ),
    "abatch": lambda plan, to: to.chat_vllm(plan).abatch([QUESTION, QUESTION]),
    "bounded_model.ainvoke": lambda plan, to: to.bounded_model(plan).ainvoke(QUESTION),
    "served, whole": lambda plan, to: _served(plan, to, "whole"),
    "served, thread": lambda plan, to: _served(plan, to, "thread"),
}
