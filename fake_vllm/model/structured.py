"""The texts that the kinds of structured output ask for."""

import json
import re
from random import Random
from typing import Any

from fake_vllm.model import json_schema
from fake_vllm.model.json_schema import SchemaError
from fake_vllm.model.offers import Offers
from fake_vllm.model.patterns import PatternError, matching
from fake_vllm.model.script import Draft

_RULE = re.compile(r"^\s*(\w+)\s*(?:::=|:)", re.MULTILINE)
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|/((?:[^/\\]|\\.)+)/|(\[(?:[^\]\\]|\\.)+\])|(\w+)|(\|)')


def by_schema(schema: Any, offers: Offers, random: Random) -> Draft:
    """JSON that conforms to a schema, given as such or as text.

    Raises:
        SchemaError: no sample can be made for it.
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise SchemaError(f"structured_outputs.json holds no JSON: {error}.") from None
    return json_schema.sample(schema, offers, random)


def any_object(offers: Offers, random: Random) -> Draft:
    """Any object will do; the words that the prompt quotes become its keys."""
    keys = offers.all_quoted()
    schema = {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
    }
    return json_schema.sample(schema, offers, random)


def one_of(choices: list[str], offers: Offers, random: Random) -> Draft:
    """One of the texts: the first that the prompt names, if any."""
    spoken = [choice for choice in choices if offers.position(choice) is not None]
    return Draft(spoken[0] if spoken else random.choice(choices))


def by_pattern(pattern: str, random: Random) -> Draft:
    try:
        return Draft(matching(pattern, random))
    except PatternError as error:
        raise SchemaError(str(error)) from None


def by_grammar(grammar: str, random: Random) -> Draft:
    """Follow the first alternative of each rule, from `root` (EBNF) or `start` (Lark) on."""
    by_name = rules(grammar)
    start = next((name for name in ("root", "start") if name in by_name), None)
    return Draft(_ruled(by_name, start, random, 0) if start else "")


def rules(grammar: str) -> dict[str, str]:
    """Return the body of each rule of a grammar by name; none if the text is not a grammar."""
    marks = list(_RULE.finditer(grammar))
    ends = [mark.start() for mark in marks[1:]] + [len(grammar)]
    return {mark[1]: grammar[mark.end() : end] for mark, end in zip(marks, ends, strict=False)}


def _ruled(rules: dict[str, str], name: str, random: Random, depth: int) -> str:
    out = []
    for quoted, pattern, letters, rule, bar in _ITEM.findall(rules.get(name, "")):
        if bar or depth > 20:
            break
        if rule:
            out.append(_ruled(rules, rule, random, depth + 1))
        else:
            out.append(quoted if quoted else matching(pattern or letters, random))
    return "".join(out)


def by_tag(tag: Any, offers: Offers, random: Random) -> Draft | None:
    """The text of a structural tag; None: it asks for nothing, as one does whose tags are only opened by a trigger."""
    format = tag.get("format", {}) if isinstance(tag, dict) else {}
    return _formatted(format, offers, random)


def _formatted(format: Any, offers: Offers, random: Random) -> Draft | None:
    if not isinstance(format, dict):
        return None
    match format.get("type"):
        case "json_schema":
            return by_schema(format.get("json_schema", {}), offers, random)
        case "const_string":
            return Draft(str(format.get("value", "")))
        case "regex":
            return by_pattern(str(format.get("pattern", "")), random)
        case "grammar":
            return by_grammar(str(format.get("grammar", "")), random)
        case "tag":
            inner = _formatted(format.get("content"), offers, random) or Draft("")
            ends = format.get("end", "")
            end = ends[0] if isinstance(ends, list) and ends else str(ends)
            return Draft(
                f"{format.get('begin', '')}{inner.head}", f"{inner.tail}{end}", inner.filler
            )
        case "sequence":
            parts = [
                _formatted(element, offers, random) or Draft("")
                for element in format.get("elements", [])
            ]
            return Draft("".join(part.head + part.tail for part in parts))
        case "or":
            return _formatted(next(iter(format.get("elements", [])), None), offers, random)
    return None
