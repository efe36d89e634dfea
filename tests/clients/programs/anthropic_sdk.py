"""Anthropic's SDK: messages, synchronous and asynchronous."""

from collections.abc import Callable
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from protocol import (
    FEW,
    KEY,
    MANY,
    MESSAGES,
    PARAMETERS,
    Server,
    keep,
    play,
    weather,
)
from pydantic import BaseModel


class Passenger(BaseModel):
    """A traveller without a pattern and bounds, which the SDK leaves out of the schema."""

    name: str
    age: int


TOOL = {"name": "weather", "description": "Tell the weather.", "input_schema": PARAMETERS}


def client(server: Server, kind: Callable[..., Any] = Anthropic) -> Any:
    return keep(
        kind(
            base_url=server.base_url.removesuffix("/v1"),
            auth_token=KEY,
            timeout=server.timeout,
            max_retries=server.retries,
        )
    )


def _settings(server: Server, given: Any) -> Any:
    return {"model": server.model, "max_tokens": MANY, "messages": MESSAGES, **given}


def _ask(server: Server, **given: Any) -> Any:
    return client(server).messages.create(**_settings(server, given))


async def _ask_async(server: Server, **given: Any) -> Any:
    return await client(server, AsyncAnthropic).messages.create(**_settings(server, given))


def _read(message: Any) -> Any:
    blocks = message.content
    return {
        "text": "".join(block.text for block in blocks if block.type == "text"),
        "reasoning": "".join(block.thinking for block in blocks if block.type == "thinking"),
        "calls": [[block.name, block.input] for block in blocks if block.type == "tool_use"],
    }


def _texts(events: list[Any]) -> list[str]:
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return [delta.text for delta in deltas if delta.type == "text_delta"]


def _read_events(events: list[Any]) -> Any:
    parts = _texts(events)
    return {"text": "".join(parts), "parts": len(parts)}


def _history(asked: Any) -> Any:
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": weather(**block.input)}
        for block in asked.content
        if block.type == "tool_use"
    ]
    return [
        *MESSAGES,
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": results},
    ]


def whole(server: Server) -> Any:
    return _read(_ask(server))


def stream(server: Server) -> Any:
    return _read_events(list(_ask(server, stream=True)))


def tools(server: Server) -> Any:
    asked = _ask(server, tools=[TOOL])
    said = _ask(server, tools=[TOOL], messages=_history(asked))
    return {**_read(asked), "text": _read(said)["text"]}


def abort(server: Server) -> Any:
    events: list[Any] = []
    with _ask(server, stream=True) as answer:
        for event in answer:
            events.append(event)
            if len(_texts(events)) == FEW:
                break
    return _read_events(events)


def structured(server: Server) -> Any:
    done = client(server).messages.parse(**_settings(server, {"output_format": Passenger}))
    return {"value": done.parsed_output.model_dump()}


async def whole_async(server: Server) -> Any:
    return _read(await _ask_async(server))


async def stream_async(server: Server) -> Any:
    return _read_events([event async for event in await _ask_async(server, stream=True)])


async def tools_async(server: Server) -> Any:
    asked = await _ask_async(server, tools=[TOOL])
    said = await _ask_async(server, tools=[TOOL], messages=_history(asked))
    return {**_read(asked), "text": _read(said)["text"]}


async def abort_async(server: Server) -> Any:
    events: list[Any] = []
    async with await _ask_async(server, stream=True) as answer:
        async for event in answer:
            events.append(event)
            if len(_texts(events)) == FEW:
                break
    return _read_events(events)


def _helper(server: Server, **given: Any) -> Any:
    return client(server).messages.stream(**_settings(server, given))


def helper_stream(server: Server) -> Any:
    with _helper(server) as answer:
        parts = list(answer.text_stream)
        message = answer.get_final_message()
    assert "".join(parts) == _read(message)["text"]
    return {**_read(message), "parts": len(parts)}


def helper_tools(server: Server) -> Any:
    with _helper(server, tools=[TOOL]) as answer:
        asked = answer.get_final_message()
    with _helper(server, tools=[TOOL], messages=_history(asked)) as answer:
        text = answer.get_final_text()
    return {**_read(asked), "text": text}


def helper_structured(server: Server) -> Any:
    with _helper(server, output_format=Passenger) as answer:
        return {"value": answer.get_final_message().parsed_output.model_dump()}


def helper_abort(server: Server) -> Any:
    with _helper(server) as answer:
        parts = [text for text, _ in zip(answer.text_stream, range(FEW), strict=False)]
    return {"text": "".join(parts)}


play(
    ["anthropic"],
    {
        "messages": {
            "whole": whole,
            "stream": stream,
            "tools": tools,
            "structured": structured,
            "abort": abort,
            "reasoning": whole,
        },
        "messages, async": {
            "whole": whole_async,
            "stream": stream_async,
            "tools": tools_async,
            "abort": abort_async,
            "reasoning": whole_async,
        },
        "messages, stream helper": {
            "stream": helper_stream,
            "tools": helper_tools,
            "structured": helper_structured,
            "abort": helper_abort,
        },
    },
)
