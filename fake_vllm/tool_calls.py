"""Tool calls as vLLM has them with `--enable-auto-tool-choice --tool-call-parser hermes`: which are made, and with what arguments."""

import json
import re
from random import Random
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from fake_vllm import json_schema
from fake_vllm.offers import Offers
from fake_vllm.refused import bad
from fake_vllm.script import CALL, Calling, Draft
from fake_vllm.wire import Finish, Reason, ToolCall

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_EMPTY_WORDS = {"tool", "function"}
_USAGE = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'


class Function(BaseModel):
    name: str
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    type: Literal["function"] = "function"
    function: Function


class Said(NamedTuple):
    """What a whole answer says: text or calls."""

    content: str | None
    reason: Reason
    calls: list[ToolCall]


def check(tools: list[Tool] | None, choice: Any) -> None:
    """Raise `Refused` for what vLLM refuses, in its words."""
    if tools == []:
        text = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        raise bad(text, "tools")
    if choice in (None, "none"):
        return
    if tools is None:
        raise bad("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if isinstance(choice, dict):
        _check_named(tools, choice.get("function"))
    elif choice not in ("auto", "required"):
        text = f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.'
        raise bad(text, "tool_choice")


def _check_named(tools: list[Tool], function: Any) -> None:
    if not isinstance(function, dict):
        raise bad(f"Invalid value for `function`: `{function}` in `tool_choice`! {_USAGE}", "tool_choice.function")
    if "name" not in function:
        raise bad(f"Expected field `name` in `function` in `tool_choice`! {_USAGE}", "tool_choice.function.name")
    name = function["name"]
    if not isinstance(name, str) or not name:
        raise bad(f"Invalid `name` in `function`: `{name}` in `tool_choice`! {_USAGE}", "tool_choice.function.name")
    if name not in [tool.function.name for tool in tools]:
        raise bad("The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice")


def called(tools: list[Tool], choice: Any, offers: Offers, *, asked: bool, parallel: bool) -> Calling | None:
    """Which tools the model calls; None: it answers with text.

    Left to itself it calls a tool if it is `asked`, that is, if the user spoke last, and what he said has the tool's name or a word
    of it. Several names make several calls, in the order in which they were said, unless not `parallel`.
    """
    if choice == "none":
        return None
    if isinstance(choice, dict):
        return Calling((choice["function"]["name"],), "named")
    names = list(dict.fromkeys(tool.function.name for tool in tools))
    spoken = _spoken(names, offers)
    spoken = spoken if parallel else spoken[:1]
    if choice == "required":
        return Calling(tuple(spoken or names[:1]), "required")
    return Calling(tuple(spoken), "auto") if asked and spoken else None


def _spoken(names: list[str], offers: Offers) -> list[str]:
    whole = [(at, name) for name in names if (at := offers.position(name)) is not None]
    if whole:
        return [name for _, name in sorted(whole)]

    def hits(name: str) -> int:
        words = {word.lower() for word in _WORD.findall(name) if len(word) > 3} - _EMPTY_WORDS
        return sum(offers.position(word) is not None for word in words)

    best = max(names, key=hits)
    return [best] if hits(best) else []


def arguments(tools: list[Tool], calling: Calling, offers: Offers, random: Random) -> Draft:
    """The arguments of all calls as one draft; the last call is the one that can be drawn out.

    Raises:
        SchemaError: a tool's parameters are no schema that a sample can be made for.
    """
    schemas = {tool.function.name: {"type": "object", **(tool.function.parameters or {})} for tool in tools}
    *before, last = [json_schema.sample(schemas[name], offers, random) for name in calling.names]
    head = "".join(f"{CALL}{draft.head}{draft.tail}" for draft in before)
    return Draft(f"{head}{CALL}{last.head}", last.tail, last.filler)


def read(calling: Calling | None, text: str, finish: Finish) -> Said:
    """Read a whole answer as vLLM's parser does. If one call's arguments were cut short, the client gets the raw text and no call."""
    if calling is None:
        return Said(text, finish, [])
    written = list(zip(calling.names, text.split(CALL)[1:], strict=False))
    try:
        calls = [ToolCall(name, json.dumps(json.loads(arguments), ensure_ascii=False)) for name, arguments in written]
    except ValueError:
        calls = []
    tells = calling.choice == "required" or (calling.choice == "auto" and bool(calls))
    reason: Reason = "tool_calls" if tells and finish == "stop" else finish
    if calls:
        return Said(None if calling.choice == "auto" else "", reason, calls)
    return Said("\n".join(f'<tool_call>\n{{"name": "{name}", "arguments": {rest}' for name, rest in written), reason, [])
