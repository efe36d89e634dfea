"""LiteLLM's SDK, by its providers `openai` and `hosted_vllm`."""

import functools
from collections.abc import Callable
from typing import Any

import litellm
from protocol import (
    FEW,
    KEY,
    MESSAGES,
    TOOL,
    Server,
    Traveller,
    call_result,
    keep,
    play,
    read_call,
)


def _settings(provider: str, server: Server, given: dict[str, Any]) -> Any:
    return {
        "model": f"{provider}/{server.model}",
        "api_base": server.base_url,
        "api_key": KEY,
        "timeout": server.timeout,
        "num_retries": server.retries,
        "messages": MESSAGES,
        **given,
    }


def _ask(provider: str, server: Server, **given: Any) -> Any:
    return keep(litellm.completion(**_settings(provider, server, given)))


async def _ask_async(provider: str, server: Server, **given: Any) -> Any:
    return keep(await litellm.acompletion(**_settings(provider, server, given)))


def _message(message: Any) -> Any:
    return {
        "text": message.content,
        "reasoning": getattr(message, "reasoning_content", None),
        "calls": [read_call(call) for call in message.tool_calls or []],
    }


def _read(chunks: list[Any]) -> Any:
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    parts = [delta.content for delta in deltas if delta.content]
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    return {"text": "".join(parts), "parts": len(parts), "reasoning": "".join(thoughts)}


def whole(provider: str, server: Server) -> Any:
    return _message(_ask(provider, server).choices[0].message)


def stream(provider: str, server: Server) -> Any:
    return _read(list(_ask(provider, server, stream=True)))


def tools(provider: str, server: Server) -> Any:
    asked = _ask(provider, server, tools=[TOOL]).choices[0].message
    messages = [*MESSAGES, asked, *map(call_result, asked.tool_calls)]
    said = _ask(provider, server, tools=[TOOL], messages=messages).choices[0].message
    return {**_message(asked), "text": said.content}


def structured(provider: str, server: Server) -> Any:
    text = _ask(provider, server, response_format=Traveller).choices[0].message.content
    return {"value": Traveller.model_validate_json(text).model_dump()}


def abort(provider: str, server: Server) -> Any:
    answer = _ask(provider, server, stream=True)
    chunks = [chunk for chunk, _ in zip(answer, range(FEW), strict=False)]
    answer.close()
    return _read(chunks)


async def whole_async(provider: str, server: Server) -> Any:
    return _message((await _ask_async(provider, server)).choices[0].message)


async def stream_async(provider: str, server: Server) -> Any:
    return _read([chunk async for chunk in await _ask_async(provider, server, stream=True)])


async def tools_async(provider: str, server: Server) -> Any:
    answer = await _ask_async(provider, server, tools=[TOOL], stream=True)
    chunks = [chunk async for chunk in answer]
    asked = litellm.stream_chunk_builder(chunks, messages=MESSAGES).choices[0].message
    messages = [*MESSAGES, asked, *map(call_result, asked.tool_calls)]
    said = (await _ask_async(provider, server, tools=[TOOL], messages=messages)).choices[0].message
    return {**_message(asked), "text": said.content}


async def structured_async(provider: str, server: Server) -> Any:
    done = await _ask_async(provider, server, response_format=Traveller)
    text = done.choices[0].message.content
    return {"value": Traveller.model_validate_json(text).model_dump()}


async def abort_async(provider: str, server: Server) -> Any:
    answer = await _ask_async(provider, server, stream=True)
    chunks: list[Any] = []
    async for chunk in answer:
        chunks.append(chunk)
        if len(chunks) == FEW:
            break
    await answer.aclose()
    return _read(chunks)


def _ways(provider: str) -> Any:
    def by(call: Callable[..., Any]) -> Callable[[Server], Any]:
        return functools.partial(call, provider)

    return {
        f"{provider}/…": {
            "whole": by(whole),
            "stream": by(stream),
            "tools": by(tools),
            "structured": by(structured),
            "abort": by(abort),
        },
        f"{provider}/…, async": {
            "whole": by(whole_async),
            "stream": by(stream_async),
            "tools": by(tools_async),
            "structured": by(structured_async),
            "abort": by(abort_async),
        },
    }


play(["litellm", "openai"], {**_ways("openai"), **_ways("hosted_vllm")})
