"""Play the cases that standard input names, and print a line of JSON for each.

All programs in Python share this module. A program runs in an environment with its client, and
calls `play` with its ways to call the client: functions by way and kind of case. A function gets a
`Server`, and returns what the client returned: a dictionary with some of `text`, `parts` (the
number of pieces in which the text arrived), `calls` (tools with their arguments), `value` (the
object that the client read from the answer) and `reasoning`.

The process stays until its input ends, and asynchronous functions share one event loop. So a
connection that closes was closed by the client.
"""

import asyncio
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, Field

KEY, QUESTION = "none", "What is the weather in Paris?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
LINE = "@result "
"""Begins each line that is meant for the tests."""
SHORT = 0.5
"""Seconds of a client's own time-out, where that is under test."""
LONG = 30.0
FEW = 3
"""Pieces of an answer that a client reads before it aborts."""
INSTEAD = {
    "reasoning": ["stream"],
    "retry": ["whole", "stream"],
    "cut": ["stream"],
    "timeout": ["stream"],
    "silence": ["stream"],
}
"""The kinds whose function a program uses for one that it does not name."""
MANY = 10_000
"""Tokens of a completion that is aborted; without a number, vLLM makes 16."""
PARAMETERS: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "Tell the weather.", "parameters": PARAMETERS},
}


class Traveller(BaseModel):
    """The object that the model writes."""

    name: str = Field(pattern=r"^[A-Z][a-z]{2,7}$")
    age: int = Field(ge=18, le=99)


@dataclass(frozen=True)
class Server:
    """The fake, and how the client is to be set.

    Attributes:
        base_url: its address, which ends in /v1.
        model: the name of its model.
        kind: the kind of the case.
    """

    base_url: str
    model: str
    kind: str

    @property
    def timeout(self) -> float:
        return SHORT if self.kind in ("timeout", "silence") else LONG

    @property
    def retries(self) -> int:
        """Return how often the client may try again."""
        return 2 if self.kind == "retry" else 0


_kept: list[Any] = []


def keep(client: Any) -> Any:
    """Keep a client as long as the process, so that no clean-up ends its calls."""
    _kept.append(client)
    return client


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def call_result(call: Any) -> Any:
    """Return the message with a tool's result, in the form of OpenAI's chats."""
    given = json.loads(call.function.arguments)
    return {"role": "tool", "tool_call_id": call.id, "content": weather(**given)}


def read_call(call: Any) -> list[Any]:
    """Return the name and the arguments of a tool call."""
    return [call.function.name, json.loads(call.function.arguments)]


Way = Mapping[str, Callable[[Server], Any]]


def play(packages: list[str], ways: Mapping[str, Way]) -> None:
    """Print the versions of the packages, then a result for each case."""
    _say({name: version(name) for name in packages})
    asyncio.run(_play(ways))


async def _play(ways: Mapping[str, Way]) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        case = json.loads(line)
        server = Server(case["base_url"], case["model"], case["kind"])
        try:
            way = ways[case["way"]]
            call = next(
                way[kind] for kind in (server.kind, *INSTEAD.get(server.kind, [])) if kind in way
            )
            is_async = inspect.iscoroutinefunction(call)
            task = asyncio.ensure_future(
                call(server) if is_async else asyncio.to_thread(call, server)
            )
            if not (await asyncio.wait([task], timeout=LONG))[0]:
                raise RuntimeError("The client did not come to an end.")
            result = task.result()
        except Exception as error:
            result = {"error": _described(error)}
        _say(result)


def _described(error: BaseException) -> dict[str, Any]:
    return {"name": type(error).__name__, "text": " ".join(str(error).split())[:300]}


def _say(value: Any) -> None:
    os.write(1, f"\n{LINE}{json.dumps(value)}\n".encode())
