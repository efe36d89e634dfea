"""Tools: vLLM's checks of them, and the calls that the model makes."""

import json
import re
from random import Random
from typing import Any, Literal, NamedTuple

from pydantic import model_validator

from fake_vllm.api.body import Body, Rejected
from fake_vllm.model import json_schema
from fake_vllm.model.budget import Budget
from fake_vllm.model.json_schema import SchemaError
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.script import Draft

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_EMPTY_WORDS = {"tool", "function"}
_USAGE = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'


class FunctionDefinition(Body):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None


class ChatCompletionToolsParam(Body):
    type: Literal["function"] = "function"
    function: FunctionDefinition
    defer_loading: bool | None = None

    @model_validator(mode="after")
    def _as_it_is_after(self) -> "ChatCompletionToolsParam":
        """Do nothing; vLLM has a validator here, and pydantic names it in errors."""
        return self


class ChatCompletionNamedFunction(Body):
    name: str


class ChatCompletionNamedToolChoiceParam(Body):
    function: ChatCompletionNamedFunction
    type: Literal["function"] = "function"


class Calling(NamedTuple):
    """The tools that an answer calls.

    Attributes:
        names: the names of the tools, in order.
        choice: why they are called: the request named one, required a call, or left it to the
            model.
    """

    names: tuple[str, ...]
    choice: Literal["named", "required", "auto"]


class Function(NamedTuple):
    """A tool's name, and the schema of its arguments. None: the request has no schema."""

    name: str
    parameters: dict[str, Any] | None


def check(data: dict[str, Any]) -> None:
    """Raise `Rejected` for raw tools that vLLM refuses; fill in the default choice."""
    if data.get("tools") == []:
        text = (
            "`tools` must not be an empty array. Either provide at least one tool or omit the "
            "field entirely."
        )
        raise Rejected(text, "tools")
    if "tool_choice" not in data and data.get("tools"):
        data["tool_choice"] = "auto"
    choice, tools = data.get("tool_choice"), data.get("tools")
    if choice is None or choice == "none":
        return
    if tools is None:
        raise Rejected("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice not in ["auto", "required"] and not isinstance(choice, dict):
        text = (
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or '
            '"required" are supported.'
        )
        raise Rejected(text, "tool_choice")
    if isinstance(choice, dict):
        _check_named(tools, choice.get("function"))


def _check_named(tools: Any, function: Any) -> None:
    if not isinstance(function, dict):
        raise Rejected(
            f"Invalid value for `function`: `{function}` in `tool_choice`! {_USAGE}",
            "tool_choice.function",
        )
    if "name" not in function:
        raise Rejected(
            f"Expected field `name` in `function` in `tool_choice`! {_USAGE}",
            "tool_choice.function.name",
        )
    name = function["name"]
    if not isinstance(name, str) or not name:
        raise Rejected(
            f"Invalid `name` in `function`: `{name}` in `tool_choice`! {_USAGE}",
            "tool_choice.function.name",
        )
    if not any(tool["function"]["name"] == name for tool in tools):
        raise Rejected(
            "The tool specified in `tool_choice` does not match any of the specified `tools`",
            "tool_choice",
        )


def check_parser(choice: Any) -> None:
    """Raise `Rejected` for a choice that needs a server with a tool parser."""
    if choice in (None, "none"):
        return
    if choice == "auto":
        raise Rejected(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        )
    named = isinstance(choice, ChatCompletionNamedToolChoiceParam)
    shown = f'function "{choice.function.name}"' if named else f'"{choice}"'
    raise Rejected(f"tool_choice={shown} requires --tool-call-parser to be set")


def called(
    tools: list[Function],
    choice: str | None,
    prompt_values: PromptValues,
    *,
    user_spoke_last: bool,
    parallel: bool,
) -> Calling | None:
    """Return the tools that the model calls. None: it answers with text.

    By itself, the model calls a tool if the user spoke last and named it, or a word of its name.
    Several names make several calls, in the order of the message.

    Args:
        tools: the tools of the request.
        choice: "auto", "required", "none", None (which is "auto"), or the name of a tool.
        prompt_values: the values in the user's message.
        user_spoke_last: whether that message is the last of the conversation.
        parallel: whether several calls are allowed.
    """
    if choice == "none" or not tools:
        return None
    names = list(dict.fromkeys(tool.name for tool in tools))
    if choice not in ("auto", "required", None):
        return Calling((choice,), "named")
    spoken = _spoken(names, prompt_values)
    spoken = spoken if parallel else spoken[:1]
    if choice == "required":
        return Calling(tuple(spoken or names[:1]), "required")
    return Calling(tuple(spoken), "auto") if user_spoke_last and spoken else None


def _spoken(names: list[str], prompt_values: PromptValues) -> list[str]:
    whole = [(at, name) for name in names if (at := prompt_values.position(name)) is not None]
    if whole:
        return [name for _, name in sorted(whole)]

    def hits(name: str) -> int:
        words = {word.lower() for word in _WORD.findall(name) if len(word) > 3} - _EMPTY_WORDS
        return sum(prompt_values.position(word) is not None for word in words)

    best = max(names, key=hits)
    return [best] if hits(best) else []


def draft(
    tools: list[Function], calling: Calling, prompt_values: PromptValues, random: Random
) -> Draft:
    """Return all calls as the hermes parser expects them; the last can be extended.

    vLLM does not enforce parameters that it cannot compile. Here such a call has an empty object.
    """
    schemas = {tool.name: {"type": "object", **(tool.parameters or {})} for tool in tools}
    written, budget = "", Budget()
    for name in calling.names[:-1]:
        one = _arguments(schemas[name], prompt_values, random, budget)
        written += f"{_opened(name)}{one.head}{one.tail}{_CLOSED}\n"
    last = _arguments(schemas[calling.names[-1]], prompt_values, random, budget)
    return Draft(
        f"{written}{_opened(calling.names[-1])}{last.head}", f"{last.tail}{_CLOSED}", last.filler
    )


def _arguments(
    schema: dict[str, Any], prompt_values: PromptValues, random: Random, budget: Budget
) -> Draft:
    try:
        return json_schema.sample(schema, prompt_values, random, budget)
    except SchemaError:
        return json_schema.sample({"type": "object"}, prompt_values, random)


_CLOSED = "}\n</tool_call>"


def _opened(name: str) -> str:
    return f'<tool_call>\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '
