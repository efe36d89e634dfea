"""The texts for each kind of structured output."""

import json
import re
from random import Random
from typing import Any

from fake_vllm.model import json_schema
from fake_vllm.model.budget import Budget, TooMuchError
from fake_vllm.model.json_schema import SchemaError
from fake_vllm.model.patterns import PatternError, check_length, matching
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.script import Draft

# Both take no longer than the text is long, also for quotes that do not close.
_RULE = re.compile(r"^[^\S\n]*+(\w++)\s*+(?:::=|:)", re.MULTILINE)
_ITEM = re.compile(
    r"""(?sx) (?://|\#)[^\n]*  # a comment
    | "((?:[^"\\]|\\.)*)" | /((?:[^/\\]|\\.)+)/ | (\[(?:[^\]\\]|\\.)+\]) | (\w+) | (\|)
    | ["/\[].*  # it does not close
    """
)


def by_schema(
    schema: Any, prompt_values: PromptValues, random: Random, budget: Budget | None = None
) -> Draft:
    """Return JSON that conforms to a schema, given as an object or as text.

    Raises:
        SchemaError: no sample can be made for the schema.
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise SchemaError(f"structured_outputs.json is not JSON: {error}.") from None
    return json_schema.sample(schema, prompt_values, random, budget)


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
    spoken = (choice for choice in choices if prompt_values.position(choice) is not None)
    first = next(spoken, None)
    return Draft(random.choice(choices) if first is None else first)


def by_pattern(pattern: str, random: Random, budget: Budget | None = None) -> Draft:
    """Return a text that matches a regular expression.

    Raises:
        SchemaError: no text can be made for the pattern.
    """
    try:
        return Draft(matching(pattern, random, budget=budget))
    except (PatternError, TooMuchError) as error:
        raise SchemaError(str(error)) from None


def by_grammar(grammar: str, random: Random, budget: Budget | None = None) -> Draft:
    """Return a text by the first alternative of each rule.

    The start is `root` (EBNF) or `start` (Lark).

    Raises:
        SchemaError: it has a pattern without a text, or asks for too much.
    """
    try:
        by_name = rules(grammar)
        start = next((name for name in ("root", "start") if name in by_name), None)
        return Draft(_ruled(by_name, start, random, 0, budget or Budget()) if start else "")
    except (PatternError, TooMuchError) as error:
        raise SchemaError(str(error)) from None


def rules(grammar: str) -> dict[str, str]:
    """Return the bodies of a grammar's rules by name. Empty: not a grammar.

    Raises:
        PatternError: it is too long.
    """
    check_length(grammar, "grammar")
    marks = list(_RULE.finditer(grammar))
    ends = [mark.start() for mark in marks[1:]] + [len(grammar)]
    return {mark[1]: grammar[mark.end() : end] for mark, end in zip(marks, ends, strict=False)}


def _ruled(rules: dict[str, str], name: str, random: Random, depth: int, budget: Budget) -> str:
    out: list[str] = []
    if depth > 20:
        return ""
    body = rules.get(name, "")
    budget.spend(len(body) // 100)
    for found in _ITEM.finditer(body):
        quoted, pattern, letters, rule, bar = found.groups("")
        budget.spend()
        if bar:
            break
        if rule:
            out.append(_ruled(rules, rule, random, depth + 1, budget))
        elif quoted:
            budget.spend(len(quoted))
            out.append(quoted)
        elif pattern or letters:
            out.append(matching(pattern or letters, random, budget=budget))
    return "".join(out)


def by_tag(tag: Any, prompt_values: PromptValues, random: Random) -> Draft | None:
    """Return the text of a structural tag. None: it asks for none, as with triggers."""
    format = tag.get("format", {}) if isinstance(tag, dict) else {}
    return _formatted(format, prompt_values, random, Budget())


def _formatted(
    format: Any, prompt_values: PromptValues, random: Random, budget: Budget
) -> Draft | None:
    if not isinstance(format, dict):
        return None
    match format.get("type"):
        case "json_schema":
            return by_schema(format.get("json_schema", {}), prompt_values, random, budget)
        case "const_string":
            return Draft(str(format.get("value", "")))
        case "regex":
            return by_pattern(str(format.get("pattern", "")), random, budget)
        case "grammar":
            return by_grammar(str(format.get("grammar", "")), random, budget)
        case "tag":
            content = format.get("content")
            inner = _formatted(content, prompt_values, random, budget) or Draft("")
            ends = format.get("end", "")
            end = ends[0] if isinstance(ends, list) and ends else str(ends)
            return Draft(
                f"{format.get('begin', '')}{inner.head}", f"{inner.tail}{end}", inner.filler
            )
        case "sequence":
            parts = [
                _formatted(element, prompt_values, random, budget) or Draft("")
                for element in _elements(format)
            ]
            return Draft("".join(part.head + part.tail for part in parts))
        case "or":
            first = next(iter(_elements(format)), None)
            return _formatted(first, prompt_values, random, budget)
    return None


def _elements(format: dict[str, Any]) -> list[Any]:
    elements = format.get("elements", [])
    if not isinstance(elements, list):
        raise SchemaError("The 'elements' of a structural tag must be a list.")
    return elements
