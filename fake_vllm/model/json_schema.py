"""A small sample of a JSON Schema, from values in the prompt and a seed."""

import json
import math
import re
from collections.abc import Iterator, Sized
from contextlib import suppress
from itertools import chain
from random import Random
from typing import Any

from fake_vllm.model import words
from fake_vllm.model.budget import MOST, Budget, TooMuchError
from fake_vllm.model.patterns import PatternError, matching, read
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.script import Draft

DEEP = 3  # below this level only required parts are written, so that recursive schemas end
DEEPEST = 40
FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT5S",
    "email": "reader@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
SAMPLES = [
    "a",
    "A",
    "1",
    "abc",
    "ABC",
    "Abc",
    "123",
    "12:34",
    "a1",
    "A1",
    "abc-123",
    "ABC-123",
    *FORMATS.values(),
]
TRIES = 60  # texts that are made up for a pattern and bounds of its length
KINDS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


class SchemaError(ValueError):
    """Raised when no sample can be made for a schema; the text says why."""


def sample(
    schema: Any, prompt_values: PromptValues, random: Random, budget: Budget | None = None
) -> Draft:
    """Write one value that conforms to a schema.

    Supported are the types, `enum`, `const`, `anyOf`, `oneOf`, `allOf`, `$ref` into the schema
    itself, defaults, bounds of numbers and lengths, `format` and `pattern`.

    Args:
        schema: the schema.
        prompt_values: the values in the prompt.
        random: the source of the rest.
        budget: what the value may cost. None: one of its own.

    Raises:
        SchemaError: the schema is invalid, contradicts itself, needs an unsupported keyword, or
            asks for too much.
    """
    try:
        writer = _Writer(schema, prompt_values, random, budget or Budget())
        writer.value(schema, 0)
        return writer.draft()
    except SchemaError:
        raise
    except (TooMuchError, PatternError) as error:
        raise SchemaError(str(error)) from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        re.error,
    ) as error:
        raise SchemaError(
            f"This is not a JSON schema that fake-vllm understands: {error!r}."
        ) from error


class _Writer:
    def __init__(
        self, root: Any, prompt_values: PromptValues, random: Random, budget: Budget
    ) -> None:
        self._root = root
        self._prompt_values = prompt_values
        self._random = random
        self._budget = budget
        self._out: list[str] = []
        self._heights: dict[tuple[int, int], float] = {}
        self._free: int | None = None  # the newest place in `_out` where words can be added

    def draft(self) -> Draft:
        if self._free is not None:
            return Draft(
                "".join(self._out[: self._free]), "".join(self._out[self._free :]), "words"
            )
        text = "".join(self._out)
        return Draft(text[:-1], text[-1], " ") if text[-1] in "}]" else Draft(text)

    def value(self, schema: Any, depth: int) -> None:
        self._budget.spend()
        if depth > DEEPEST:
            raise SchemaError("The schema requires a value that contains itself endlessly.")
        schema = self._one(schema, depth)
        if "const" in schema:
            self._dump(schema["const"])
        elif "enum" in schema:
            self._dump(self._member(schema["enum"]))
        else:
            match self._kind(schema, depth):
                case "object":
                    self._object(schema, depth)
                case "array":
                    self._array(schema, depth)
                case "string":
                    self._string(schema)
                case "integer" | "number" as kind:
                    self._dump(self._number(schema, whole=kind == "integer"))
                case "boolean":
                    self._dump(self._random.choice([True, False]))
                case "null":
                    self._dump(None)
                case kind:
                    raise SchemaError(f"There is no type '{kind}'.")

    def _dump(self, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=False)
        self._budget.spend(len(text))
        self._out.append(text)

    def _one(self, schema: Any, depth: int) -> dict[str, Any]:
        """Return the schema with references resolved, parts joined, and one alternative chosen."""
        for _ in range(DEEPEST):
            self._budget.spend()
            if isinstance(schema, bool):
                schema = self._joined({}, schema)
            if "$ref" in schema:
                schema = self._joined(_without(schema, "$ref"), self._target(schema["$ref"]))
            elif "allOf" in schema:
                parts, schema = schema["allOf"], _without(schema, "allOf")
                for part in parts:
                    schema = self._joined(schema, self._one(part, depth))
            elif (
                key := next((key for key in ("anyOf", "oneOf") if key in schema), None)
            ) is not None:
                other = self._alternative(schema[key], depth)
                schema = self._joined(_without(schema, key), other)
            else:
                resolved: dict[str, Any] = schema
                return resolved
        raise SchemaError("The schema's references lead in a circle.")

    def _joined(self, schema: dict[str, Any], more: Any) -> dict[str, Any]:
        """Return both schemas as one, as far as their keywords can be combined."""
        self._look(schema)
        if more is True:
            return schema
        if more is False:
            raise SchemaError("Nothing conforms to the schema 'false'.")
        both = {**schema, **more}
        self._look(both)
        if "properties" in schema and "properties" in more:
            both["properties"] = {**schema["properties"], **more["properties"]}
            self._look(both["properties"])
        if "required" in schema and "required" in more:
            both["required"] = [*schema["required"], *more["required"]]
            self._look(both["required"])
        return both

    def _look(self, at: Sized) -> None:
        """Spend what a look at each of several parts or characters costs."""
        self._budget.spend(len(at) // 10)

    def _alternative(self, schemas: list[Any], depth: int) -> Any:
        self._look(schemas)
        if depth > DEEP:
            return min(schemas, key=lambda schema: self._height(schema, DEEPEST))
        return min(
            schemas, key=lambda schema: self._kind(self._one(schema, depth), depth) == "null"
        )

    def _height(self, schema: Any, most: int) -> float:
        """Return the fewest levels that a value can have, up to `most`."""
        if most == 0:
            return math.inf
        if not isinstance(schema, dict):
            return 0
        if (key := (id(schema), most)) in self._heights:
            return self._heights[key]
        self._budget.spend()

        def highest(schemas: Any) -> float:
            return max((self._height(part, most - 1) for part in schemas), default=0)

        inside = highest(schema.get("allOf", ()))
        if "$ref" in schema:
            inside = max(inside, self._height(self._target(schema["$ref"]), most - 1))
        if parts := schema.get("anyOf", schema.get("oneOf")):
            inside = max(inside, min(self._height(part, most - 1) for part in parts))
        known = schema.get("properties", {})
        self._look(schema.get("required", ()))
        needed = [known[name] for name in schema.get("required", ()) if name in known]
        needed += schema.get("prefixItems", ()) or (
            [schema["items"]] if schema.get("minItems") and "items" in schema else ()
        )
        self._heights[key] = max(inside, 1 + highest(needed) if needed else 0)
        return self._heights[key]

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise SchemaError(f"The reference '{reference}' points outside of the schema.")
        self._look(reference)
        target = self._root
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and step.isdecimal() and int(step) < len(target):
                target = target[int(step)]
            elif isinstance(target, dict) and step in target:
                target = target[step]
            else:
                raise SchemaError(f"The reference '{reference}' points to nothing.")
        return target

    def _kind(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            self._look(kind)
            order = sorted(
                kind,
                key=lambda name: (depth > DEEP and name in ("object", "array"), name == "null"),
            )
            return order[0]
        if kind is None and "const" not in schema and "enum" not in schema:
            return next(
                (name for name, keys in KINDS.items() if any(key in schema for key in keys)),
                "string",
            )
        return kind

    def _member(self, members: list[Any]) -> Any:
        self._look(members)
        for member in members:
            if isinstance(member, str) and self._prompt_values.position(member) is not None:
                return member
        return self._random.choice(members)

    def _object(self, schema: dict[str, Any], depth: int) -> None:
        known: dict[str, Any] = schema.get("properties", {})
        required = dict.fromkeys(schema.get("required", ()))
        self._look(known)
        self._look(schema.get("required", ()))
        more = schema.get("additionalProperties", True)
        keys = [key for key in known if key in required or depth < DEEP]
        keys += [key for key in required if key not in known]
        # So many keys are too much already.
        least = int(min(_count(schema, "minProperties", 0), MOST))
        keys += [f"key{number}" for number in range(len(keys), least)]
        self._out.append("{")
        for index, key in enumerate(keys):
            self._out.append(", " if index else "")
            self._dump(key)
            self._out.append(": ")
            value = known.get(key, more)
            if key not in required and isinstance(value, dict) and "default" in value:
                self._dump(value["default"])
            else:
                self.value(value, depth + 1)
        self._out.append("}")

    def _array(self, schema: dict[str, Any], depth: int) -> None:
        first: list[Any] = schema.get("prefixItems", [])
        rest = schema.get("items", True)
        usual = len(first) or int(depth < DEEP and rest is not False)
        count = int(
            max(_count(schema, "minItems", 0), min(usual, _count(schema, "maxItems", usual)))
        )
        self._out.append("[")
        for index in range(count):
            if index:
                self._out.append(", ")
            self.value(first[index] if index < len(first) else rest, depth + 1)
        self._out.append("]")

    def _string(self, schema: dict[str, Any]) -> None:
        least, most = _count(schema, "minLength", 0), _count(schema, "maxLength", math.inf)
        pattern, format = schema.get("pattern"), schema.get("format")
        if format in FORMATS:
            self._dump(FORMATS[format])
            return
        known = None if pattern is None else read(pattern, self._budget)

        def fits(text: str) -> bool:
            if known is None or not least <= len(text) <= most:
                return least <= len(text) <= most
            self._budget.spend(1 + len(known.compiled.pattern) // 20 + len(text) // 100)
            return known.compiled.search(text) is not None

        if (quoted := self._prompt_values.quoted(fits)) is not None:
            self._dump(quoted)
        elif pattern is not None:
            made = (text for text in self._matching(pattern) if fits(text))
            if (match := next(chain(filter(fits, SAMPLES), made), None)) is None:
                raise SchemaError(
                    f"fake-vllm has no text for the pattern '{pattern}'; quote one in the prompt."
                )
            self._dump(match)
        else:
            self._budget.spend(least)
            text = " ".join(self._random.choices(words.VOCABULARY, k=max(3, int(least))))
            if most < math.inf:
                self._dump(text[: int(most)])
            else:
                self._out += [f'"{text}', '"']
                self._free = len(self._out) - 1

    def _matching(self, pattern: str) -> Iterator[str]:
        """Yield texts for a pattern; some may be too short or too long."""
        for longer in range(TRIES):
            with suppress(PatternError):
                yield matching(pattern, self._random, longer=longer, budget=self._budget)

    def _number(self, schema: dict[str, Any], *, whole: bool) -> float:
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        above, below = (
            schema.get("exclusiveMinimum", -math.inf),
            schema.get("exclusiveMaximum", math.inf),
        )
        step = schema.get("multipleOf")

        def fits(number: float) -> bool:
            inside = low <= number <= high and above < number < below
            return inside and (step is None or number % step == 0) and not (whole and number % 1)

        if (offered := self._prompt_values.number(fits)) is not None:
            return int(offered) if whole else offered
        floor, ceiling = max(low, above), min(high, below)
        if floor > -math.inf:
            start = math.ceil(floor)
        elif ceiling < math.inf:
            start = math.floor(ceiling) - 9
        else:
            start = 0
        usual = [number for number in range(start, start + 10) if fits(number)]
        if usual:
            return self._random.choice(usual)
        if step:
            first = math.ceil((floor if floor > -math.inf else ceiling - step) / step)
            others = [step * (first + more) for more in range(3)]
        else:
            others = [(floor + ceiling) / 2, floor, ceiling]
        number: float | None = next(filter(fits, others), None)
        if number is None:
            raise SchemaError(f"No number conforms to {json.dumps(schema)}.")
        return number


def _count(schema: dict[str, Any], key: str, default: float) -> float:
    """Return a bound of a length; 2.0 is a whole number in JSON Schema."""
    count: Any = schema.get(key, default)
    if count != default and not (
        isinstance(count, int | float) and count >= 0 and count % 1 == 0  # NaN is neither
    ):
        raise SchemaError(f"'{key}' must be a whole number that is not negative, not {count!r}.")
    bound: float = count
    return bound


def _without(schema: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != key}


_TYPES = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
_SCHEMAS, _LISTS = (
    ("items", "additionalProperties", "not"),
    ("anyOf", "oneOf", "allOf", "prefixItems"),
)


def schema_fault(schema: Any) -> str | None:
    """Return a schema's plain fault in the words of vLLM's grammar compiler.

    None: there is no fault.
    """
    return _fault(schema, schema, 0)


def _fault(schema: Any, root: Any, depth: int) -> str | None:
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []:
        if not isinstance(kind, str) or kind not in _TYPES:
            return f"Invalid type: {kind}"
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/") and not _leads(root, reference):
        return f"Pointer '{reference[1:]}' does not exist"
    known = schema.get("properties", {})
    if not isinstance(known, dict):
        return "properties must be an object"
    if schema.get("enum") == []:
        return "Unsatisfiable schema: anyOf is empty"
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if isinstance(name, str) and known.get(name, True) is False:
            return f"Unsatisfiable schema: required property '{name}' is unsatisfiable"
    parts = [*known.values(), *(schema.get(key) for key in _SCHEMAS)]
    parts += [part for key in _LISTS if isinstance(schema.get(key), list) for part in schema[key]]
    return next(
        (fault for part in parts if (fault := _fault(part, root, depth + 1)) is not None), None
    )


def _leads(root: Any, reference: str) -> bool:
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(root, dict) and key in root:
            root = root[key]
        elif isinstance(root, list) and key in map(str, range(len(root))):
            root = root[int(key)]
        else:
            return False
    return True
