"""The ways to call a chat model, each as one function that returns the answer."""

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate

PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])
Call = Callable[[Any], Any]


def _async(call: Callable[[Any], Any]) -> Call:
    return lambda model: asyncio.run(call(model))


async def _astream(model: Any) -> list[Any]:
    return [chunk async for chunk in model.astream("Why?")]


async def _chain(model: Any) -> list[Any]:
    return [chunk async for chunk in (PROMPT | model).astream({"question": "Why?"})]


async def _events(model: Any) -> list[Any]:
    events = [event async for event in model.astream_events("Why?", version="v2")]
    return [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]


STREAMS: dict[str, Call] = {
    "stream": lambda model: list(model.stream("Why?")),
    "astream": _async(_astream),
    "chain": lambda model: list((PROMPT | model).stream({"question": "Why?"})),
    "achain": _async(_chain),
    "events": _async(_events),
}
WHOLES: dict[str, Call] = {
    "invoke": lambda model: model.invoke("Why?"),
    "ainvoke": _async(lambda model: model.ainvoke("Why?")),
    "batch": lambda model: model.batch(["Why?"])[0],
    "abatch": _async(lambda model: model.abatch(["Why?"])),
}


def streaming(model: BaseChatModel) -> Any:
    """A copy whose `invoke` streams inside."""
    return model.model_copy(update={"streaming": True})
