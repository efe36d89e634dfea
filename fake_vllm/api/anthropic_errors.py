"""Errors in Anthropic's form, as vLLM makes them from a chat's."""

from typing import Any

from pydantic import BaseModel, ValidationError

from fake_vllm.api import wire
from fake_vllm.api.refused import error as worded
from fake_vllm.api.release import Release

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class ChatCompletionStreamResponse(BaseModel):
    """The required part of a chat's event; errors show the names of class and fields."""

    model: str
    choices: list[Any]


def whole(error: dict[str, Any], release: Release) -> dict[str, Any]:
    """Return an error as a body; what is not a chat's error comes back unchanged."""
    detail = error.get("error")
    if not isinstance(detail, dict):
        return error
    kind = _kind(detail["code"]) if release.anthropic_errors else detail["type"]
    return {"type": "error", "error": {"type": kind, "message": detail["message"]}}


def event(error: dict[str, Any], release: Release) -> bytes:
    """Return an error inside a stream.

    vLLM 0.32 reads its chat's events to convert them. An error is not one, so the client gets the
    complaint of pydantic.
    """
    if release.anthropic_errors:
        return named("error", whole(error, release))
    try:
        ChatCompletionStreamResponse.model_validate(error)
    except ValidationError as invalid:
        message = worded(500, "internal_error", str(invalid))["error"]["message"]
    else:
        raise AssertionError("An error is not an event of a chat.")
    return named(
        "error", {"type": "error", "error": {"type": "internal_error", "message": message}}
    )


def _kind(status: int) -> str:
    """Return Anthropic's type of the errors with a status."""
    return _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")


def named(kind: str, body: dict[str, Any]) -> bytes:
    """Return a Server-Sent Event with a name, as all of Anthropic's have."""
    return f"event: {kind}\ndata: ".encode() + wire.dumps(body) + b"\n\n"
