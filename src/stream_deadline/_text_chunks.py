"""Make chunks of plain text by copying the first one that LangChain made.

Most chunks of a stream are plain text. LangChain takes 10 µs to make one, most of it pydantic's
validation of a dozen empty fields; a copy takes 2.
"""

from copy import copy
from typing import Any, TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
_set = object.__setattr__


def text_of(chunk: dict[str, Any]) -> str | None:
    """Return the text of a chunk that has only a text; else None."""
    choices = chunk.get("choices")
    if choices.__class__ is not list or len(choices) != 1 or chunk.get("usage") or "type" in chunk:
        return None
    choice = choices[0]
    delta = choice.get("delta") if choice.__class__ is dict else None
    if (
        delta.__class__ is not dict
        or len(delta) != 1
        or choice.get("finish_reason")
        or choice.get("logprobs")
    ):
        return None
    text = delta.get("content")
    return text if text.__class__ is str and text else None


class Pattern:
    """A chunk as LangChain made it, to copy."""

    def __init__(self, made: ChatGenerationChunk, text: str) -> None:
        """Keep a copy, since consumers change the chunks that they are given.

        Args:
            made: what LangChain made of a chunk with this text and nothing else.
            text: the text.
        """
        message = made.message
        fields = {
            name: value
            for name, value in message.__dict__.items()
            if isinstance(value, dict | list)
        }
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
        """Return whether a copy with another text is what LangChain would make of that text."""
        return self._fits

    def copy(self, text: str) -> ChatGenerationChunk:
        """Return the same chunk with another text, sharing nothing that can be changed."""
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
    """Return a copy, in a third of the time of `copy(model)`.

    It copies the four attributes that make up an instance of pydantic.
    """
    twin = object.__new__(type(model))
    _set(twin, "__dict__", model.__dict__.copy())
    _set(twin, "__pydantic_fields_set__", model.__pydantic_fields_set__.copy())
    _set(
        twin,
        "__pydantic_extra__",
        None if model.__pydantic_extra__ is None else model.__pydantic_extra__.copy(),
    )
    _set(twin, "__pydantic_private__", None)
    return twin
