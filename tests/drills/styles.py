"""The styles of call that a drill is played with."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import openai
from langchain_core.prompts import ChatPromptTemplate

from stream_deadline import ChatVllm, bounded, bounded_client, bounded_model, bounded_sync

LONG = 60.0
PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])

CLOCK_STARTS: list[Callable[[], None]] = [lambda: None]
"""The last one is called by a style whose bound starts later than its call."""
CLOSE: list[Callable[[], None]] = []
"""What a style's helpers need at the end."""

Ask = Callable[[str, float], Any]
"""Asks with a scenario and a limit in seconds; iterates over the pieces of the answer."""


@dataclass(frozen=True)
class Style:
    """A way to call the model.

    Attributes:
        make: makes it ready for the model at an address.
        is_async: whether `Ask` gives an asynchronous iterator.
        group: the styles whose callers see the same.
    """

    make: Callable[[str], Ask]
    is_async: bool
    group: Literal["stream", "whole", "bare", "http"]


class Answered(Exception):
    """What a service's client sees of an error: a status, or a last event."""


def _chat(base_url: str) -> ChatVllm:
    return ChatVllm(model="fake-model", base_url=base_url, timeout=LONG)


def _body(scenario: str) -> dict[str, Any]:
    few = {"max_tokens": 5} if scenario == "linger" else {}
    return {"extra_body": {"fake_scenario": scenario, **few}}


def _of_sdk(scenario: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Why?"}]
    return {"model": "fake-model", "messages": messages, **_body(scenario)}


def _stream(base_url: str) -> Ask:
    model = _chat(base_url)

    def ask(scenario: str, limit: float) -> Iterator[str]:
        return (c.text for c in model.stream("Why?", stream_timeout=limit, **_body(scenario)))

    return ask


def _astream(base_url: str) -> Ask:
    model = _chat(base_url)

    async def ask(scenario: str, limit: float) -> AsyncIterator[str]:
        async for chunk in model.astream("Why?", stream_timeout=limit, **_body(scenario)):
            yield chunk.text

    return ask


def _invoke(base_url: str) -> Ask:
    model = _chat(base_url)

    def ask(scenario: str, limit: float) -> Iterator[str]:
        yield model.invoke("Why?", timeout=limit, **_body(scenario)).text

    return ask


def _ainvoke(base_url: str) -> Ask:
    model = _chat(base_url)

    async def ask(scenario: str, limit: float) -> AsyncIterator[str]:
        yield (await model.ainvoke("Why?", timeout=limit, **_body(scenario))).text

    return ask


def _chain(base_url: str) -> Ask:
    model = _chat(base_url)

    async def ask(scenario: str, limit: float) -> AsyncIterator[str]:
        chain = PROMPT | model.bind(stream_timeout=limit, **_body(scenario))
        async for chunk in chain.astream({"question": "Why?"}):
            yield str(chunk.text)

    return ask


def _bounded(base_url: str) -> Ask:
    client = openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=LONG)

    async def ask(scenario: str, limit: float) -> AsyncIterator[str]:
        async def chunks() -> AsyncIterator[Any]:
            answer = await client.chat.completions.create(stream=True, **_of_sdk(scenario))
            async with answer:
                async for chunk in answer:
                    yield chunk  # noqa: ASYNC119 - `bounded` closes it

        async with bounded(chunks(), limit) as bound:
            async for chunk in bound:
                text = chunk.choices[0].delta.content if chunk.choices else ""
                yield str(text)  # noqa: ASYNC119 - the victim pulls it to its end

    return ask


def _bounded_sync(base_url: str) -> Ask:
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=LONG)

    def ask(scenario: str, limit: float) -> Iterator[str]:
        answer = client.chat.completions.create(stream=True, **_of_sdk(scenario))
        CLOCK_STARTS[-1]()
        with bounded_sync(answer, limit) as bound:
            for chunk in bound:
                yield str(chunk.choices[0].delta.content) if chunk.choices else ""

    return ask


def _bounded_client(base_url: str) -> Ask:
    http = openai.DefaultHttpxClient(base_url=base_url, timeout=LONG)
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http)

    def ask(scenario: str, limit: float) -> Iterator[str]:
        bounded_client(http, timeout=limit)
        with client.chat.completions.create(stream=True, **_of_sdk(scenario)) as answer:
            for chunk in answer:
                yield str(chunk.choices[0].delta.content) if chunk.choices else ""

    return ask


def _bounded_model(base_url: str) -> Ask:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    chat = ChatOpenAI(
        model="fake-model", base_url=base_url, api_key=SecretStr("none"), max_retries=0
    )

    async def ask(scenario: str, limit: float) -> AsyncIterator[str]:
        model = bounded_model(chat, timeout=limit)
        async for chunk in model.astream("Why?", **_body(scenario)):
            yield str(chunk.text)

    return ask


def _middleware(base_url: str) -> Ask:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    from stream_deadline.asgi import DeadlineMiddleware
    from stream_lab.processes import serve

    model = _chat(base_url)

    async def answer(request: Request) -> StreamingResponse:
        scenario = request.query_params["scenario"]

        async def events() -> AsyncIterator[str]:
            async for chunk in model.astream("Why?", **_body(scenario)):
                yield f"data: {chunk.text!r}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await model.root_async_client.close()

    inner = Starlette(routes=[Route("/", answer)], lifespan=lifespan)
    app = DeadlineMiddleware(inner, max_timeout=None)
    service = serve(app, log_level="critical")
    http = httpx2.Client(base_url=service.url, timeout=LONG, trust_env=False)
    CLOSE.extend([http.close, service.close])

    def ask(scenario: str, limit: float) -> Iterator[str]:
        headers = {"X-Timeout-Ms": str(round(limit * 1000))}
        with http.stream("GET", "/", params={"scenario": scenario}, headers=headers) as answer:
            if not answer.is_success:
                raise Answered(f"status {answer.status_code}: {answer.read().decode()}")
            event = ""
            for line in answer.iter_lines():
                if line.startswith("event: error"):
                    event = line
                elif line.startswith("data: "):
                    if event:
                        raise Answered(f"{event}: {line}")
                    yield line

    return ask


STYLES = {
    "stream": Style(_stream, False, "stream"),
    "astream": Style(_astream, True, "stream"),
    "chain": Style(_chain, True, "stream"),
    "bounded_model": Style(_bounded_model, True, "stream"),
    "invoke": Style(_invoke, False, "whole"),
    "ainvoke": Style(_ainvoke, True, "whole"),
    "bounded": Style(_bounded, True, "bare"),
    "bounded_sync": Style(_bounded_sync, False, "bare"),
    "bounded_client": Style(_bounded_client, False, "bare"),
    "middleware": Style(_middleware, False, "http"),
}
