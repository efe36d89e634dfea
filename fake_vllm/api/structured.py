"""Structured output: `response_format` and `structured_outputs`, with vLLM's checks."""

import json
import re
from dataclasses import field
from random import Random
from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fake_vllm.api.body import Body, Rejected
from fake_vllm.model import structured
from fake_vllm.model.budget import Budget, TooMuchError
from fake_vllm.model.json_schema import schema_fault
from fake_vllm.model.patterns import PatternError, read
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.script import Draft

_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
_DEEPEST, _DEEPER_IN_TAGS = 64, 16
_FORMATS = frozenset(
    "any_text array_items const_string dispatch grammar json_schema optional or plus "
    "qwen_xml_parameter regex repeat sequence star "
    "tag tags_with_separator token token_triggered_tags triggered_tags".split()
)


@dataclass(config=ConfigDict(defer_build=True))
class StructuredOutputsParams:
    """vLLM's `structured_outputs`: one kind of constraint.

    Its name and fields show in error texts.
    """

    json: str | dict[Any, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None

    _backend: str | None = field(default=None, init=False)
    _backend_was_auto: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        count = sum(getattr(self, kind) is not None for kind in _KINDS)
        if count != 1:
            use, count_of = ("can only use", "multiple") if count else ("must use", "none")
            stated = {name: getattr(self, name) for name in self.__dataclass_fields__}
            raise Rejected(
                f"You {use} one kind of structured outputs constraint but {count_of} are "
                f"specified: {stated}"
            )


class JsonSchemaResponseFormat(Body):
    name: str
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaResponseFormat | None = None


class LegacyStructuralTag(Body):
    begin: str
    structural_tag_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    end: str


class LegacyStructuralTagResponseFormat(Body):
    type: Literal["structural_tag"]
    structures: list[LegacyStructuralTag]
    triggers: list[str]


class StructuralTagResponseFormat(Body):
    type: Literal["structural_tag"]
    format: Any


AnyResponseFormat: TypeAlias = (
    ResponseFormat | StructuralTagResponseFormat | LegacyStructuralTagResponseFormat
)


def check_response_format(value: Any) -> None:
    """Raise `Rejected` for a raw `response_format` that vLLM refuses early."""
    if value is None:
        return
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_schema" and value.get("json_schema") is None:
        text = (
            "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        )
        raise Rejected(text, "response_format")
    if kind == "structural_tag" and not _is_tag(value):
        raise Rejected("Invalid response_format structural_tag specification.", "response_format")


def check_structured_outputs(value: Any, param: str | None = None) -> None:
    """Raise `Rejected` for raw `structured_outputs` that vLLM refuses early.

    Args:
        value: the raw field.
        param: its name in the error. None: no name.
    """
    if value is None:
        return
    if sum(value.get(kind) is not None for kind in ("json", "regex", "choice")) > 1:
        raise Rejected(
            "You can only use one kind of constraints for structured outputs ('json', 'regex' or "
            "'choice').",
            param,
        )


def check_structural_tag(value: Any) -> None:
    """Raise `Rejected` for a raw structural tag that vLLM refuses early."""
    tag = value.get("structural_tag") if isinstance(value, dict) else None
    if tag is None:
        return
    try:
        fits = isinstance(tag, str) and _is_tag(json.loads(tag))
    except (ValueError, RecursionError):
        fits = False
    if not fits:
        raise Rejected(
            "Invalid structured_outputs structural_tag specification.", "structured_outputs"
        )


def _is_tag(tag: Any) -> bool:
    """Tell whether the outer form of a structural tag is valid; vLLM compiles the tag."""
    if not isinstance(tag, dict):
        return False
    if "structures" in tag:
        structures, triggers = tag["structures"], tag.get("triggers")
        if not (
            isinstance(structures, list) and isinstance(triggers, list) and structures and triggers
        ):
            return False
        begins = [
            one.get("begin")
            for one in structures
            if isinstance(one, dict) and isinstance(one.get("schema"), dict)
        ]
        complete = len(begins) == len(structures) and all(
            isinstance(one.get("end"), str) for one in structures
        )
        return complete and all(
            isinstance(begin, str)
            and any(isinstance(trigger, str) and begin.startswith(trigger) for trigger in triggers)
            for begin in begins
        )
    format = tag.get("format")
    kind = format.get("type") if isinstance(format, dict) else None
    return isinstance(kind, str) and kind in _FORMATS


def constraint(
    outputs: StructuredOutputsParams | None, format: Any
) -> StructuredOutputsParams | None:
    """Return the one constraint that counts: `response_format` overrides `structured_outputs`.

    Raises:
        Rejected: both are present and differ in kind.
    """
    if format is None or format.type == "text":
        return outputs
    over: dict[str, Any] = {}
    if format.type == "json_object":
        over["json_object"] = True
    elif format.type == "json_schema":
        over["json"] = format.json_schema.json_schema
    else:
        over["structural_tag"] = json.dumps(format.model_dump(by_alias=True))
    own = (
        {}
        if outputs is None
        else {
            name: getattr(outputs, name) for name in outputs.__dataclass_fields__ if name[0] != "_"
        }
    )
    return StructuredOutputsParams(**own | over)


def check_constraint(constraint: StructuredOutputsParams | None) -> None:
    """Raise `Rejected` for a constraint that vLLM's engine refuses.

    vLLM compiles grammars; here only plain mistakes are noticed.
    """
    if constraint is None:
        return
    if constraint.choice == []:
        raise Rejected(f"Choice '{constraint.choice}' cannot be an empty list")
    for name in ("grammar", "json"):
        value = getattr(constraint, name)
        if isinstance(value, str) and not value.strip():
            raise Rejected(f"structured_outputs.{name} cannot be an empty string")
    for spec, deepest in (
        (constraint.json, _DEEPEST),
        (constraint.structural_tag, _DEEPEST + _DEEPER_IN_TAGS),
    ):
        if spec and _deeper(spec, deepest):
            text = (
                "The JSON schema is nested too deeply: objects and arrays may nest at most "
                f"{_DEEPEST} levels"
            )
            raise Rejected(text)
    if constraint.json_object is False:
        text = (
            "structured_outputs.json_object must be True if set; omit structured_outputs to "
            "disable structured outputs"
        )
        raise Rejected(text)
    if constraint.regex and "\x00" in constraint.regex:
        raise Rejected("structured_outputs.regex must not contain a NUL character ('\\x00')")
    if constraint.json is not None:
        _check_schema(constraint.json)
    if constraint.regex:
        _check_pattern(constraint.regex)
    if constraint.grammar is not None:
        _check_grammar(constraint.grammar)


def _check_grammar(grammar: str) -> None:
    try:
        known = structured.rules(grammar)
    except PatternError as error:
        raise Rejected(f"Invalid grammar specification: {error}") from None
    if not known:
        text = "Invalid grammar specification: Failed to convert the grammar from GBNF to Lark:"
        raise Rejected(f"{text} Expected ::= at line 1, '{grammar.splitlines()[0]}' ^ ''")


def _check_schema(schema: Any) -> None:
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError:
            raise Rejected("Invalid JSON grammar specification.") from None
    if (fault := schema_fault(schema)) is not None:
        raise Rejected(f"Grammar error: {fault}")


def _check_pattern(pattern: str) -> None:
    try:
        read(pattern, Budget())
    except (PatternError, TooMuchError) as error:
        fault = error.__cause__
        if not isinstance(fault, re.error):
            raise Rejected(f"Grammar error: {error}") from None
        reason = next(
            (theirs for ours, theirs in _PATTERN_FAULTS.items() if fault.msg.startswith(ours)),
            fault.msg,
        )
        caret = (
            f"    {pattern}\n    {' ' * (fault.pos or 0)}^\nerror: {reason}\n   1 | start: "
            f"/{pattern}/\n              ^"
        )
        raise Rejected(
            f'Grammar error: at 1(8): invalid regex "{pattern}" (in regex): regex parse '
            f"error:\n{caret}"
        ) from None


_PATTERN_FAULTS = {
    "missing )": "unclosed group",
    "unterminated character set": "unclosed character class",
}


def _deeper(spec: Any, deepest: int) -> bool:
    if isinstance(spec, str):
        try:
            spec = json.loads(spec)
        except RecursionError:
            return True
        except ValueError:
            return False
    level = [spec]
    for _ in range(deepest):
        inner = [
            child for node in level for child in (node.values() if isinstance(node, dict) else node)
        ]
        level = [child for child in inner if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def draft(
    constraint: StructuredOutputsParams, prompt_values: PromptValues, random: Random
) -> Draft | None:
    """Return the text of a constraint; None: it asks for none.

    Raises:
        SchemaError: no sample can be made for it.
        TooMuchError: its choices are too many for so long a prompt.
    """
    if constraint.json is not None:
        return structured.by_schema(constraint.json, prompt_values, random)
    if constraint.regex is not None:
        return structured.by_pattern(constraint.regex, random)
    if constraint.choice is not None:
        return structured.one_of(constraint.choice, prompt_values, random)
    if constraint.grammar is not None:
        return structured.by_grammar(constraint.grammar, random)
    if constraint.structural_tag is not None:
        return structured.by_tag(json.loads(constraint.structural_tag), prompt_values, random)
    return structured.any_object(prompt_values, random)
