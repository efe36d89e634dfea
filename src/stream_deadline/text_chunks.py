"""Chunks of nothing but text, which most of a stream are: LangChain makes the first one, the others are copies with another text.

To make one costs 10 µs, most of it pydantic's validation of a dozen empty fields; a copy costs 2.
"""

from copy import copy
from typing import Any, TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
_set = object.__setattr__


def text_of(chunk: dict[str, Any]) -> str | None:
    """The text of a chunk that says that and nothing else; None: it says more, or less."""
    choices = chunk.get("choices")
    if choices.__class__ is not list or len(choices) != 1 or chunk.get("usage") or "type" in chunk:
        return None
    choice = choices[0]
    delta = choice.get("delta") if choice.__class__ is dict else None
    if delta.__class__ is not dict or len(delta) != 1 or choice.get("finish_reason") or choice.get("logprobs"):
        return None
    text = delta.get("content")
    return text if text.__class__ is str and text else None


class Pattern:
    """One chunk as LangChain has made it, to copy."""

    def __init__(self, made: ChatGenerationChunk, text: str) -> None:
        """`made`: of a chunk that had this `text` and nothing else. It is copied, since what is handed on is changed there."""
        message = made.message
        fields = {name: value for name, value in message.__dict__.items() if isinstance(value, dict | list)}
        del fields["response_metadata"]
        self._metadata = message.response_metadata.copy()
        self._fits = (
            (type(made), made.text, made.generation_info) == (ChatGenerationChunk, text, None)
            and (type(message), message.content) == (AIMessageChunk, text)
            and not any(fields.values())
            and not made.__pydantic_private__
            and not message.__pydantic_private__
        )
        self._made, self._message = copy(made), copy(message)
        self._empty = [(name, type(value)) for name, value in fields.items()]

    def __bool__(self) -> bool:
        """Whether a copy with another text is what LangChain would make of that text."""
        return self._fits

    def copy(self, text: str) -> ChatGenerationChunk:
        """The same with another text, and nothing shared that can be changed."""
        message = _alike(self._message)
        fields = message.__dict__
        fields["content"] = text
        fields["response_metadata"] = self._metadata.copy()
        for name, kind in self._empty:
            fields[name] = kind()
        made = _alike(self._made)
        fields = made.__dict__
        fields["text"], fields["message"] = text, message
        return made


def _alike(model: M) -> M:
    """As `copy(model)`, in a third of the time: it copies what pydantic says an instance has, which is what validation leaves alone."""
    twin = object.__new__(type(model))
    _set(twin, "__dict__", model.__dict__.copy())
    _set(twin, "__pydantic_fields_set__", model.__pydantic_fields_set__.copy())
    _set(twin, "__pydantic_extra__", None if model.__pydantic_extra__ is None else model.__pydantic_extra__.copy())
    _set(twin, "__pydantic_private__", None)
    return twin
