"""Calls that block their thread: how each style begins, and what the caller does then."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from stream_deadline import bounded_sync
from stream_lab.soak.calls import BUSY, _chain
from stream_lab.soak.clients import QUESTION, Clients, headers, scope, timeout
from stream_lab.soak.outcome import LEFT, Outcome
from stream_lab.soak.plan import Plan


def make(plan: Plan, clients: Clients, outcome: Outcome) -> None:
    """Make a call and do with it as planned; the outcome has the chunks."""
    if plan.style.from_headers_on:
        _make_from_headers_on(plan, clients, outcome)
        return
    outcome.begin(plan.limit)
    with scope(plan):
        call: Any = (_STREAMS if plan.style.streamed else _WHOLE)[plan.style.name](plan, clients)
        if plan.makes_a_model:
            outcome.begin(plan.limit)
        if plan.style.streamed:
            _read(call, plan, outcome)
        else:
            call()


def _make_from_headers_on(plan: Plan, clients: Clients, outcome: Outcome) -> None:
    """Bound the stream of a response whose head has come, as `bounded_sync` is used."""
    if plan.style.name == "bounded_sync, SDK":
        with clients.sync_sdk(plan).chat.completions.create(**clients.asks(plan)) as stream:
            outcome.begin(plan.limit)
            with scope(plan):
                _read(bounded_sync(stream, timeout(plan)), plan, outcome)
        return
    url = f"{clients.address(plan)}/chat/completions"
    with clients.sync_http(plan.pooled).stream(
        "POST", url, json=clients.body(plan), headers=headers(plan)
    ) as response:
        outcome.begin(plan.limit)
        with scope(plan):
            _read(bounded_sync(_until_done(response.iter_lines()), timeout(plan)), plan, outcome)


def _read(stream: Iterator[Any], plan: Plan, outcome: Outcome) -> None:
    for _ in stream:
        outcome.note_chunk()
        if plan.ending == "busy":
            time.sleep(BUSY)
        elif plan.ending == "hold" and outcome.chunks == 1:
            time.sleep(max(0.0, outcome.due + 0.2 - time.monotonic()))
            outcome.act()
        elif plan.ending in ("close", "drop") and outcome.chunks >= plan.moment:
            outcome.act()
            outcome.end = LEFT
            if plan.ending == "close":
                stream.close()  # type: ignore[attr-defined]
            return


def _until_done(lines: Iterator[str]) -> Generator[str]:
    for line in lines:
        if line == "data: [DONE]":
            return
        if line.startswith("data:"):
            yield line


def _sdk_chunks(plan: Plan, clients: Clients) -> Iterator[Any]:
    with (
        clients.bounded_http(plan, blocking=True) as http,
        clients.sync_sdk(plan, http).chat.completions.create(**clients.asks(plan)) as stream,
    ):
        yield from stream


def _lines(plan: Plan, clients: Clients) -> Iterator[str]:
    url = f"{clients.address(plan)}/chat/completions"
    with (
        clients.bounded_http(plan, blocking=True) as http,
        http.stream("POST", url, json=clients.body(plan), headers=headers(plan)) as response,
        closing(_until_done(response.iter_lines())) as lines,
    ):
        response.raise_for_status()
        yield from lines


_STREAMS: dict[str, Callable[[Plan, Clients], Iterator[Any]]] = {
    "stream": lambda plan, to: to.chat_vllm(plan).stream(QUESTION),
    "chain.stream": lambda plan, to: _chain(plan, to).stream(QUESTION),
    "bounded_model.stream": lambda plan, to: to.bounded_model(plan).stream(QUESTION),
    "bounded_client, SDK, sync": _sdk_chunks,
    "bounded_client, httpx, sync": _lines,
}
_WHOLE: dict[str, Callable[[Plan, Clients], Callable[[], Any]]] = {
    "invoke": lambda plan, to: partial(to.chat_vllm(plan).invoke, QUESTION),
    "batch": lambda plan, to: partial(to.chat_vllm(plan).batch, [QUESTION, QUESTION]),
    "bounded_model.invoke": lambda plan, to: partial(to.bounded_model(plan).invoke, QUESTION),
}
