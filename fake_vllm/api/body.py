"""The checks of a request's body, in vLLM's order and words."""

import json
import re
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from fake_vllm.api.refused import Refused, bad, invalid

_LONGEST_INPUT = 200
_LONGEST_FAULT = 1000
_INTERNAL = frozenset(
    "function-wrap function-after function-before function-plain json-or-python lax-or-strict "
    "chain default nullable tagged-union "
    "union call arguments is-instance is-subclass callable str int float bool bytes bytearray list "
    "tuple dict set frozenset complex "
    "none nonetype".split()
)
_BRACKET = re.compile(r"[\[\]{}()]")

Some = TypeVar("Some")


class Body(BaseModel):
    """The base of all bodies; unknown fields are accepted and ignored.

    Schemas are built when the first request needs them, so that the server starts fast.
    """

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())

    @model_validator(mode="wrap")
    @classmethod
    def _as_it_is(cls, value: Any, handler: ModelWrapValidatorHandler["Body"]) -> "Body":
        """Do nothing; a validator here makes pydantic word errors in a union as for vLLM."""
        return handler(value)


class Rejected(Exception):
    """Raised by a validator for vLLM's own checks.

    It is not a ValueError, so that pydantic does not catch it.
    """

    def __init__(self, message: str, param: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.refused = bad(message, param, value)


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the validator of a type, which is built once."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def read(kind: type[Some], content_type: str, body: bytes) -> Some:
    """Parse and check a body.

    Args:
        kind: a model, or a union of models.
        content_type: the header's value. Empty: there is none.
        body: the bytes.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    value = _parse(body) if _says_json(content_type) else body
    check_content_type(content_type)
    if value is None:
        raise _invalid(
            [{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}]
        )
    try:
        value = adapter(kind).validate_python(value, from_attributes=True)
    except ValidationError as error:
        raise _invalid(
            [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        ) from None
    except Rejected as rejected:
        raise rejected.refused from None
    except (TypeError, ValueError, OverflowError) as error:
        raise bad(str(error)) from None
    except (AttributeError, LookupError) as error:  # vLLM fails on some bodies, and says so
        raise Refused(500, "InternalServerError", str(error)) from None
    checked: Some = value
    return checked


def check_content_type(content_type: str) -> None:
    """Raise `Refused` for another type than JSON's."""
    if content_type.lower().split(";")[0] != "application/json":
        raise invalid(["Unsupported Media Type: Only 'application/json' is allowed"], None)


def check_query(kind: Any, name: str, value: str) -> None:
    """Raise `Refused` if a value of the query string has another type."""
    try:
        adapter(kind).validate_python(value)
    except ValidationError as error:
        raise _invalid(
            [{**fault, "loc": ("query", name)} for fault in error.errors(include_url=False)]
        ) from None


@lru_cache(maxsize=64)
def _says_json(content_type: str) -> bool:
    kind, _, subtype = content_type.split(";")[0].strip().lower().partition("/")
    return (
        kind == "application"
        and (subtype == "json" or subtype.endswith("+json"))
        and "/" not in subtype
    )


def _parse(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        fault = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
        }
        raise _invalid([{**fault, "ctx": {"error": error.msg}}]) from None
    except (ValueError, RecursionError):  # not UTF-8, or nested too deeply
        raise Refused(400, "Bad Request", "There was an error parsing the body") from None


def _invalid(faults: list[Any]) -> Refused:
    return invalid([_worded(fault) for fault in faults], _place(faults[0]["loc"]))


def _worded(fault: dict[str, Any]) -> str:
    shown = {
        key: value for key, value in fault.items() if key in ("type", "loc", "msg", "input", "ctx")
    }
    text = str(shown | {"loc": _place(fault["loc"]), "input": _brief(fault["input"])})
    return text if len(text) <= _LONGEST_FAULT else f"{text[:_LONGEST_FAULT]}...[truncated]"


def _place(loc: tuple[str | int, ...]) -> str:
    """Return the place of a fault, without pydantic's own parts, such as a union's branch."""
    parts = [str(part) for part in loc]
    plain = [part for part in parts if not _BRACKET.search(part) and part.lower() not in _INTERNAL]
    return ".".join(plain or parts)


def _brief(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"<{type(value).__name__} of {len(value)} items>"
    if isinstance(value, bytes | bytearray):
        return f"<{type(value).__name__} of {len(value)} bytes>"
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_INPUT else f"{text[:_LONGEST_INPUT]}...[truncated]"
