"""The texts for each kind of structured output."""

import json
import re
from random import Random
from typing import Any

from fake_vllm.model import json_schema
from fake_vllm.model.budget import Budget, TooMuchError
from fake_vllm.model.json_schema import SchemaError
from fake_vllm.model.patterns import PatternError, matching
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.script import Draft

_RULE = re.compile(r"^\s*(\w+)\s*(?:::=|:)", re.MULTILINE)
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|/((?:[^/\\]|\\.)+)/|(\[(?:[^\]\\]|\\.)+\])|(\w+)|(\|)')


def by_schema(schema: Any, prompt_values: PromptValues, random: Random) -> Draft:
    """Return JSON that conforms to a schema, given as an object or as text.

    Raises:
        SchemaError: no sample can be made for the schema.
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise SchemaError(f"structured_outputs.json is not JSON: {error}.") from None
    return json_schema.sample(schema, prompt_values, random)


def any_object(prompt_values: PromptValues, random: Random) -> Draft:
    """Return an object whose keys are the words that the prompt quotes."""
    keys = prompt_values.all_quoted()
    schema = {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
    }
    return json_schema.sample(schema, prompt_values, random)


def one_of(choices: list[str], prompt_values: PromptValues, random: Random) -> Draft:
    """Return the first of the choices that the prompt names, or else a random one."""
    spoken = [choice for choice in choices if prompt_values.position(choice) is not None]
    return Draft(spoken[0] if spoken else random.choice(choices))


def by_pattern(pattern: str, random: Random) -> Draft:
    """Return a text that matches a regular expression.

    Raises:
        SchemaError: no text can be made for the pattern.
    """
    try:
        return Draft(matching(pattern, random))
    except (PatternError, TooMuchError) as error:
        raise SchemaError(str(error)) from None


def by_grammar(grammar: str, random: Random) -> Draft:
    """Return a text by the first alternative of each rule.

    The start is `root` (EBNF) or `start` (Lark).

    Raises:
        SchemaError: it has a pattern without a text, or asks for too much.
    """
    by_name = rules(grammar)
    start = next((name for name in ("root", "start") if name in by_name), None)
    try:
        return Draft(_ruled(by_name, start, random, 0, Budget()) if start else "")
    except (PatternError, TooMuchError) as error:
        raise SchemaError(str(error)) from None


def rules(grammar: str) -> dict[str, str]:
    """Return the bodies of a grammar's rules by name. Empty: not a grammar."""
    marks = list(_RULE.finditer(grammar))
    ends = [mark.start() for mark in marks[1:]] + [len(grammar)]
    return {mark[1]: grammar[mark.end() : end] for mark, end in zip(marks, ends, strict=False)}


def _ruled(rules: dict[str, str], name: str, random: Random, depth: int, budget: Budget) -> str:
    out: list[str] = []
    if depth > 20:
        return ""
    for found in _ITEM.finditer(rules.get(name, "")):
        quoted, pattern, letters, rule, bar = found.groups("")
        budget.spend()
        if bar:
            break
        if rule:
            out.append(_ruled(rules, rule, random, depth + 1, budget))
        elif quoted:
            budget.spend(len(quoted))
            out.append(quoted)
        else:
            out.append(matching(pattern or letters, random, budget=budget))
    return "".join(out)


def by_tag(tag: Any, prompt_values: PromptValues, random: Random) -> Draft | None:
    """Return the text of a structural tag. None: it asks for none, as with triggers."""
    format = tag.get("format", {}) if isinstance(tag, dict) else {}
    return _formatted(format, prompt_values, random)


def _formatted(format: Any, prompt_values: PromptValues, random: Random) -> Draft | None:
    if not isinstance(format, dict):
        return None
    match format.get("type"):
        case "json_schema":
            return by_schema(format.get("json_schema", {}), prompt_values, random)
        case "const_string":
            return Draft(str(format.get("value", "")))
        case "regex":
            return by_pattern(str(format.get("pattern", "")), random)
        case "grammar":
            return by_grammar(str(format.get("grammar", "")), random)
        case "tag":
            inner = _formatted(format.get("content"), prompt_values, random) or Draft("")
            ends = format.get("end", "")
            end = ends[0] if isinstance(ends, list) and ends else str(ends)
            return Draft(
                f"{format.get('begin', '')}{inner.head}", f"{inner.tail}{end}", inner.filler
            )
        case "sequence":
            parts = [
                _formatted(element, prompt_values, random) or Draft("")
                for element in format.get("elements", [])
            ]
            return Draft("".join(part.head + part.tail for part in parts))
        case "or":
            return _formatted(next(iter(format.get("elements", [])), None), prompt_values, random)
    return None
