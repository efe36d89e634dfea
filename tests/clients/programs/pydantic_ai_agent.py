"""pydantic-ai: agents with a tool, with typed output and with streams."""

from typing import Any

from openai import AsyncOpenAI
from protocol import FEW, KEY, QUESTION, Server, Traveller, keep, play
from protocol import weather as tell_weather
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.output import NativeOutput
from pydantic_ai.providers.openai import OpenAIProvider


def _agent(model: Any, server: Server, **given: Any) -> Any:
    client = AsyncOpenAI(
        base_url=server.base_url, api_key=KEY, timeout=server.timeout, max_retries=server.retries
    )
    return keep(Agent(model(server.model, provider=OpenAIProvider(openai_client=client)), **given))


def _thoughts(messages: list[Any]) -> str:
    """Return the reasoning, which a response has among its details, not as a summary."""
    return "".join(
        part.content or "".join((part.provider_details or {}).get("raw_content", ()))
        for message in messages
        if isinstance(message, ModelResponse)
        for part in message.parts
        if isinstance(part, ThinkingPart)
    )


class Ways:
    """The cases of one of pydantic-ai's models."""

    def __init__(self, model: Any) -> None:
        self.model = model

    async def whole(self, server: Server) -> Any:
        done = await _agent(self.model, server).run(QUESTION)
        return {"text": done.output, "reasoning": _thoughts(done.all_messages())}

    async def stream(self, server: Server) -> Any:
        async with _agent(self.model, server).run_stream(QUESTION) as run:
            parts = [part async for part in run.stream_text(delta=True, debounce_by=None)]
            thoughts = _thoughts(run.all_messages())
        return {"text": "".join(parts), "parts": len(parts), "reasoning": thoughts}

    async def tools(self, server: Server) -> Any:
        calls: list[Any] = []

        def weather(city: str) -> str:
            calls.append(["weather", {"city": city}])
            return tell_weather(city)

        done = await _agent(self.model, server, tools=[weather]).run(QUESTION)
        return {"calls": calls, "text": done.output}

    async def structured(self, server: Server) -> Any:
        agent = _agent(self.model, server, output_type=NativeOutput(Traveller))
        async with agent.run_stream(QUESTION) as run:
            values = [value async for value in run.stream_output(debounce_by=None)]
        return {"value": values[-1].model_dump()}

    async def abort(self, server: Server) -> Any:
        parts: list[str] = []
        async with _agent(self.model, server).run_stream(QUESTION) as run:
            async for part in run.stream_text(delta=True, debounce_by=None):
                parts.append(part)
                if len(parts) == FEW:
                    break
        return {"text": "".join(parts)}

    @property
    def cases(self) -> Any:
        return {
            "whole": self.whole,
            "stream": self.stream,
            "tools": self.tools,
            "structured": self.structured,
            "abort": self.abort,
        }


play(
    ["pydantic-ai-slim", "openai"],
    {
        "OpenAIChatModel": Ways(OpenAIChatModel).cases,
        "OpenAIResponsesModel": Ways(OpenAIResponsesModel).cases,
    },
)
