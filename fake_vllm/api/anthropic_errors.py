"""Errors in Anthropic's form, as vLLM makes them from a chat's."""

from typing import Any

from pydantic import BaseModel, ValidationError

from fake_vllm.api import wire
from fake_vllm.api.refused import error as worded


class ChatCompletionStreamResponse(BaseModel):
    """The required part of a chat's event; errors show the names of class and fields."""

    model: str
    choices: list[Any]


def whole(error: dict[str, Any]) -> dict[str, Any]:
    """Return an error as a body; what is not a chat's error comes back unchanged."""
    detail = error.get("error")
    if not isinstance(detail, dict):
        return error
    return {"type": "error", "error": {"type": detail["type"], "message": detail["message"]}}


def event(error: dict[str, Any]) -> bytes:
    """Return an error inside a stream.

    vLLM reads its chat's events to convert them. An error is not one, so the client gets the
    complaint of pydantic.
    """
    try:
        ChatCompletionStreamResponse.model_validate(error)
    except ValidationError as invalid:
        message = worded(500, "internal_error", str(invalid))["error"]["message"]
    else:
        raise AssertionError("An error is not an event of a chat.")
    return named(
        "error", {"type": "error", "error": {"type": "internal_error", "message": message}}
    )


def named(kind: str, body: dict[str, Any]) -> bytes:
    """Return a Server-Sent Event with a name, as all of Anthropic's have."""
    return f"event: {kind}\ndata: ".encode() + wire.dumps(body) + b"\n\n"
