"""Structured output: OpenAI's `response_format` and vLLM's `structured_outputs`."""

import json
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, Field

from fake_vllm import json_schema
from fake_vllm.offers import Offers
from fake_vllm.refused import bad
from fake_vllm.script import Draft

_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")


class StructuredOutputs(BaseModel):
    json_: Any = Field(None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None

    def stated(self) -> dict[str, Any]:
        """All fields as vLLM's error texts list them, with two of its own that no client can set."""
        return {**self.model_dump(by_alias=True), "_backend": None, "_backend_was_auto": False}

    def kinds(self) -> list[str]:
        stated = self.stated()
        return [kind for kind in _KINDS if stated[kind] is not None]


class JsonSchema(BaseModel):
    schema_: Any = Field(None, alias="schema")


class ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchema | None = None


def check(format: ResponseFormat | None, outputs: StructuredOutputs | None) -> None:
    """Raise `Refused` for what vLLM refuses, in its words, and for what only a real grammar could play."""
    kinds = outputs.kinds() if outputs is not None else []
    if len(set(kinds) & {"json", "regex", "choice"}) > 1:
        raise bad("You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice').")
    if format is not None and format.type == "json_schema" and format.json_schema is None:
        text = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        raise bad(text, "response_format")
    if outputs is not None and len(kinds) != 1:
        use, found = ("can only use", "multiple") if kinds else ("must use", "none")
        text = f"You {use} one kind of structured outputs constraint but {found} are specified: {outputs.stated()}"
        raise bad(text)
    if format is not None and format.type == "structural_tag":
        kinds = ["structural_tag"]
    for kind in ("regex", "grammar", "structural_tag"):
        if kind in kinds:
            raise bad(f"fake-vllm plays the constraints json, json_object and choice, not {kind}.")
    if outputs is not None and outputs.choice == []:
        raise bad("fake-vllm needs something to choose from: structured_outputs.choice is empty.")


def draft(format: ResponseFormat | None, outputs: StructuredOutputs | None, offers: Offers, random: Random) -> Draft | None:
    """The text that a constraint asks for; None: there is no constraint.

    Raises:
        SchemaError: no sample can be made for the schema.
    """
    if outputs is not None and outputs.choice is not None:
        spoken = [choice for choice in outputs.choice if offers.position(choice) is not None]
        return Draft(spoken[0] if spoken else random.choice(outputs.choice))
    if outputs is not None:
        schema = outputs.json_
    elif format is not None and format.type != "text":
        schema = format.json_schema.schema_ if format.json_schema else None
    else:
        return None
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise json_schema.SchemaError(f"structured_outputs.json holds no JSON: {error}.") from None
    return _object(offers, random) if schema is None else json_schema.sample(schema, offers, random)


def _object(offers: Offers, random: Random) -> Draft:
    """Any object will do; the words that the prompt quotes become its keys."""
    keys = offers.all_quoted()
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}
    return json_schema.sample(schema, offers, random)
