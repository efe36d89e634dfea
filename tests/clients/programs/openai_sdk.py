"""OpenAI's SDK: chats, completions and responses, synchronous and asynchronous."""

import json
from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI, OpenAI
from protocol import (
    FEW,
    KEY,
    MANY,
    MESSAGES,
    PARAMETERS,
    QUESTION,
    TOOL,
    Server,
    Traveller,
    call_result,
    keep,
    play,
    read_call,
    weather,
)


def client(server: Server, kind: Callable[..., Any] = OpenAI) -> Any:
    return keep(
        kind(
            base_url=server.base_url,
            api_key=KEY,
            timeout=server.timeout,
            max_retries=server.retries,
        )
    )


def chat(server: Server, **given: Any) -> Any:
    return client(server).chat.completions.create(
        model=server.model, **{"messages": MESSAGES, **given}
    )


def whole(server: Server) -> Any:
    message = chat(server).choices[0].message
    return {"text": message.content, "reasoning": getattr(message, "reasoning", None)}


def read(chunks: Any, most: int | None = None) -> Any:
    """Read a stream of a chat; None: to its end."""
    texts, thoughts = [], []
    for chunk in chunks:
        for choice in chunk.choices:
            texts.append(choice.delta.content or "")
            thoughts.append(getattr(choice.delta, "reasoning", None) or "")
        if most is not None and len(list(filter(None, texts))) >= most:
            break
    texts, thoughts = list(filter(None, texts)), list(filter(None, thoughts))
    return {"text": "".join(texts), "parts": len(texts), "reasoning": "".join(thoughts)}


def stream(server: Server) -> Any:
    return read(chat(server, stream=True))


def abort(server: Server) -> Any:
    with chat(server, stream=True) as chunks:
        return read(chunks, FEW)


def tools(server: Server) -> Any:
    asked = chat(server, tools=[TOOL]).choices[0].message
    results = [call_result(call) for call in asked.tool_calls]
    messages = [*MESSAGES, asked, *results]
    said = chat(server, tools=[TOOL], messages=messages).choices[0].message
    return {"calls": [read_call(call) for call in asked.tool_calls], "text": said.content}


def parse(server: Server) -> Any:
    done = client(server).chat.completions.parse(
        model=server.model, messages=MESSAGES, response_format=Traveller
    )
    return {"value": done.choices[0].message.parsed.model_dump()}


def _helper(server: Server, **given: Any) -> Any:
    return client(server).chat.completions.stream(
        model=server.model, **{"messages": MESSAGES, **given}
    )


def helper_stream(server: Server) -> Any:
    with _helper(server) as events:
        parts = [event.delta for event in events if event.type == "content.delta"]
        text = events.get_final_completion().choices[0].message.content
    assert "".join(parts) == text
    return {"text": text, "parts": len(parts)}


def helper_tools(server: Server) -> Any:
    with _helper(server, tools=[{**TOOL, "function": {**TOOL["function"], "strict": True}}]) as one:
        calls = [event for event in one if event.type == "tool_calls.function.arguments.done"]
        asked = one.get_final_completion().choices[0].message
    results = [call_result(call) for call in asked.tool_calls]
    with _helper(server, messages=[*MESSAGES, asked, *results]) as two:
        text = two.until_done().get_final_completion().choices[0].message.content
    assert [event.name for event in calls] == [call.function.name for call in asked.tool_calls]
    return {"calls": [read_call(call) for call in asked.tool_calls], "text": text}


def helper_parse(server: Server) -> Any:
    with _helper(server, response_format=Traveller) as events:
        done = events.until_done().get_final_completion()
    return {"value": done.choices[0].message.parsed.model_dump()}


def helper_abort(server: Server) -> Any:
    parts: list[str] = []
    with _helper(server) as events:
        for event in events:
            parts += [event.delta] if event.type == "content.delta" else []
            if len(parts) == FEW:
                break
    return {"text": "".join(parts)}


async def _chat_async(server: Server, **given: Any) -> Any:
    return await client(server, AsyncOpenAI).chat.completions.create(
        model=server.model, **{"messages": MESSAGES, **given}
    )


async def whole_async(server: Server) -> Any:
    message = (await _chat_async(server)).choices[0].message
    return {"text": message.content, "reasoning": getattr(message, "reasoning", None)}


async def stream_async(server: Server) -> Any:
    return read([chunk async for chunk in await _chat_async(server, stream=True)])


async def abort_async(server: Server) -> Any:
    chunks: list[Any] = []
    async with await _chat_async(server, stream=True) as answer:
        async for chunk in answer:
            chunks.append(chunk)
            if len(chunks) == FEW:
                return read(chunks)


async def tools_async(server: Server) -> Any:
    asked = (await _chat_async(server, tools=[TOOL])).choices[0].message
    messages = [*MESSAGES, asked, *map(call_result, asked.tool_calls)]
    said = (await _chat_async(server, tools=[TOOL], messages=messages)).choices[0].message
    return {"calls": [read_call(call) for call in asked.tool_calls], "text": said.content}


async def parse_async(server: Server) -> Any:
    done = await client(server, AsyncOpenAI).chat.completions.parse(
        model=server.model, messages=MESSAGES, response_format=Traveller
    )
    return {"value": done.choices[0].message.parsed.model_dump()}


def _complete(server: Server, **given: Any) -> Any:
    return client(server).completions.create(model=server.model, prompt=QUESTION, **given)


def complete(server: Server) -> Any:
    return {"text": _complete(server).choices[0].text}


def complete_stream(server: Server) -> Any:
    texts = [chunk.choices[0].text for chunk in _complete(server, stream=True) if chunk.choices]
    return {"text": "".join(texts), "parts": len(texts)}


def complete_abort(server: Server) -> Any:
    with _complete(server, stream=True, max_tokens=MANY) as chunks:
        texts = [chunk.choices[0].text for chunk, _ in zip(chunks, range(FEW), strict=False)]
    return {"text": "".join(texts)}


def _respond(server: Server, **given: Any) -> Any:
    return client(server).responses.create(model=server.model, **{"input": QUESTION, **given})


def respond(server: Server) -> Any:
    done = _respond(server)
    thoughts = [
        part.text for item in done.output if item.type == "reasoning" for part in item.content
    ]
    return {"text": done.output_text, "reasoning": "".join(thoughts)}


def respond_stream(server: Server) -> Any:
    events = list(_respond(server, stream=True))
    parts = [event.delta for event in events if event.type == "response.output_text.delta"]
    thoughts = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    text = events[-1].response.output_text
    assert "".join(parts) == text
    return {"text": text, "parts": len(parts), "reasoning": "".join(thoughts)}


def respond_abort(server: Server) -> Any:
    parts: list[str] = []
    with _respond(server, stream=True) as events:
        for event in events:
            parts += [event.delta] if event.type == "response.output_text.delta" else []
            if len(parts) == FEW:
                break
    return {"text": "".join(parts)}


def respond_tools(server: Server) -> Any:
    tool = {"type": "function", "name": "weather", "parameters": PARAMETERS}
    asked = _respond(server, tools=[tool])
    calls = [item for item in asked.output if item.type == "function_call"]
    read = [[call.name, json.loads(call.arguments)] for call in calls]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": weather(**given)}
        for call, (_, given) in zip(calls, read, strict=True)
    ]
    turn = [{"role": "user", "content": QUESTION}, *asked.output, *results]
    return {"calls": read, "text": _respond(server, tools=[tool], input=turn).output_text}


def respond_parse(server: Server) -> Any:
    done = client(server).responses.parse(model=server.model, input=QUESTION, text_format=Traveller)
    return {"value": done.output_parsed.model_dump()}


def _response_helper(server: Server, **given: Any) -> Any:
    return client(server).responses.stream(model=server.model, input=QUESTION, **given)


def response_helper_stream(server: Server) -> Any:
    with _response_helper(server) as events:
        parts = [event.delta for event in events if event.type == "response.output_text.delta"]
        text = events.get_final_response().output_text
    return {"text": text, "parts": len(parts)}


def response_helper_parse(server: Server) -> Any:
    with _response_helper(server, text_format=Traveller) as events:
        return {"value": events.get_final_response().output_parsed.model_dump()}


def response_helper_abort(server: Server) -> Any:
    parts: list[str] = []
    with _response_helper(server) as events:
        for event in events:
            parts += [event.delta] if event.type == "response.output_text.delta" else []
            if len(parts) == FEW:
                break
    return {"text": "".join(parts)}


async def _respond_async(server: Server, **given: Any) -> Any:
    return await client(server, AsyncOpenAI).responses.create(
        model=server.model, input=QUESTION, **given
    )


async def respond_async(server: Server) -> Any:
    return {"text": (await _respond_async(server)).output_text}


async def respond_stream_async(server: Server) -> Any:
    parts, thoughts = [], []
    async for event in await _respond_async(server, stream=True):
        parts += [event.delta] if event.type == "response.output_text.delta" else []
        thoughts += [event.delta] if event.type == "response.reasoning_text.delta" else []
    return {"text": "".join(parts), "parts": len(parts), "reasoning": "".join(thoughts)}


async def respond_abort_async(server: Server) -> Any:
    parts: list[str] = []
    async with await _respond_async(server, stream=True) as events:
        async for event in events:
            parts += [event.delta] if event.type == "response.output_text.delta" else []
            if len(parts) == FEW:
                break
    return {"text": "".join(parts)}


async def _complete_async(server: Server, **given: Any) -> Any:
    return await client(server, AsyncOpenAI).completions.create(
        model=server.model, prompt=QUESTION, **given
    )


async def complete_async(server: Server) -> Any:
    return {"text": (await _complete_async(server)).choices[0].text}


async def complete_stream_async(server: Server) -> Any:
    answer = await _complete_async(server, stream=True)
    texts = [chunk.choices[0].text async for chunk in answer if chunk.choices]
    return {"text": "".join(texts), "parts": len(texts)}


async def complete_abort_async(server: Server) -> Any:
    texts: list[str] = []
    async with await _complete_async(server, stream=True, max_tokens=MANY) as answer:
        async for chunk in answer:
            texts.append(chunk.choices[0].text)
            if len(texts) == FEW:
                break
    return {"text": "".join(texts)}


async def helper_stream_async(server: Server) -> Any:
    chats = client(server, AsyncOpenAI).chat.completions
    async with chats.stream(model=server.model, messages=MESSAGES) as events:
        parts = [event.delta async for event in events if event.type == "content.delta"]
    return {"text": "".join(parts), "parts": len(parts)}


async def helper_abort_async(server: Server) -> Any:
    parts: list[str] = []
    chats = client(server, AsyncOpenAI).chat.completions
    async with chats.stream(model=server.model, messages=MESSAGES) as events:
        async for event in events:
            parts += [event.delta] if event.type == "content.delta" else []
            if len(parts) == FEW:
                break
    return {"text": "".join(parts)}


play(
    ["openai"],
    {
        "chat": {
            "whole": whole,
            "stream": stream,
            "tools": tools,
            "structured": parse,
            "abort": abort,
        },
        "chat, async": {
            "whole": whole_async,
            "stream": stream_async,
            "tools": tools_async,
            "structured": parse_async,
            "abort": abort_async,
        },
        "chat, stream helper": {
            "stream": helper_stream,
            "tools": helper_tools,
            "structured": helper_parse,
            "abort": helper_abort,
        },
        "completions": {
            "whole": complete,
            "stream": complete_stream,
            "abort": complete_abort,
        },
        "responses": {
            "whole": respond,
            "stream": respond_stream,
            "tools": respond_tools,
            "structured": respond_parse,
            "abort": respond_abort,
        },
        "responses, stream helper": {
            "stream": response_helper_stream,
            "structured": response_helper_parse,
            "abort": response_helper_abort,
        },
        "chat, stream helper, async": {"stream": helper_stream_async, "abort": helper_abort_async},
        "completions, async": {
            "whole": complete_async,
            "stream": complete_stream_async,
            "abort": complete_abort_async,
        },
        "responses, async": {
            "whole": respond_async,
            "stream": respond_stream_async,
            "abort": respond_abort_async,
        },
    },
)
