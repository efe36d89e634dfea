"""LlamaIndex: `OpenAILike`, as a model of chats and of completions."""

import asyncio
import gc
from typing import Any

from llama_index.core.base.llms.types import TextBlock, ThinkingBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from protocol import FEW, KEY, MANY, QUESTION, Server, Traveller, keep, play, weather

MESSAGES = [ChatMessage(QUESTION)]


def _model(server: Server, **given: Any) -> Any:
    return keep(
        OpenAILike(
            model=server.model,
            api_base=server.base_url,
            api_key=KEY,
            timeout=server.timeout,
            max_retries=server.retries,
            **{"is_chat_model": True, "is_function_calling_model": True, **given},
        )
    )


def _read(answers: list[Any]) -> Any:
    parts = [answer.delta for answer in answers if answer.delta]
    return {"text": "".join(parts), "parts": len(parts)}


def chat(server: Server) -> Any:
    message = _model(server).chat(MESSAGES).message
    thoughts = [each.content for each in message.blocks if isinstance(each, ThinkingBlock)]
    return {"text": message.content, "reasoning": "".join(filter(None, thoughts))}


def chat_stream(server: Server) -> Any:
    return _read(list(_model(server).stream_chat(MESSAGES)))


def chat_tools(server: Server) -> Any:
    model, tool = _model(server), FunctionTool.from_defaults(weather)
    asked = model.chat_with_tools([tool], chat_history=MESSAGES)
    calls = model.get_tool_calls_from_response(asked)
    results = [
        ChatMessage(
            role="tool",
            blocks=[TextBlock(text=weather(**call.tool_kwargs))],
            additional_kwargs={"tool_call_id": call.tool_id},
        )
        for call in calls
    ]
    history = [*MESSAGES, asked.message, *results]
    said = model.chat_with_tools([tool], chat_history=history)
    return {
        "calls": [[call.tool_name, call.tool_kwargs] for call in calls],
        "text": said.message.content,
    }


def chat_structured(server: Server) -> Any:
    model = _model(server, should_use_structured_outputs=True)
    return {"value": model.as_structured_llm(Traveller).chat(MESSAGES).raw.model_dump()}


def chat_abort(server: Server) -> Any:
    return _abort(_model(server).stream_chat(MESSAGES))


def _abort(answers: Any) -> Any:
    read = [answer for answer, _ in zip(answers, range(FEW + 1), strict=False)]
    answers.close()
    gc.collect()  # closing does not reach the connection, which a cycle of references holds
    return _read(read)


async def achat(server: Server) -> Any:
    return {"text": (await _model(server).achat(MESSAGES)).message.content}


async def achat_stream(server: Server) -> Any:
    return _read([each async for each in await _model(server).astream_chat(MESSAGES)])


async def achat_abort(server: Server) -> Any:
    read: list[Any] = []
    enough = asyncio.Event()

    async def consume() -> None:
        async for answer in await _model(server).astream_chat(MESSAGES):
            read.append(answer)
            if len(read) > FEW:
                enough.set()

    task = asyncio.create_task(consume())
    await enough.wait()
    task.cancel()
    await asyncio.wait([task])
    return _read(read)


def complete(server: Server) -> Any:
    return {"text": _model(server, is_chat_model=False).complete(QUESTION).text}


def complete_stream(server: Server) -> Any:
    return _read(list(_model(server, is_chat_model=False).stream_complete(QUESTION)))


def complete_abort(server: Server) -> Any:
    return _abort(_model(server, is_chat_model=False, max_tokens=MANY).stream_complete(QUESTION))


play(
    ["llama-index-llms-openai-like", "llama-index-core", "openai"],
    {
        "chat": {
            "whole": chat,
            "stream": chat_stream,
            "tools": chat_tools,
            "structured": chat_structured,
            "abort": chat_abort,
            "reasoning": chat,
        },
        "chat, async": {
            "whole": achat,
            "stream": achat_stream,
            "abort": achat_abort,
        },
        "complete": {
            "whole": complete,
            "stream": complete_stream,
            "abort": complete_abort,
        },
    },
)
