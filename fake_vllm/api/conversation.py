"""The conversation that a chat's messages make, with the checks of their parts."""

from collections.abc import Iterable
from typing import Any

from typing_extensions import TypedDict

from fake_vllm.api.body import Rejected, adapter
from fake_vllm.api.messages import (
    ChatCompletionContentPartAudioParam,
    ChatCompletionContentPartImageParam,
    ChatCompletionContentPartVideoParam,
)

_TEXT_KEYS = {
    "text": "text",
    "thinking": "thinking",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "tool_reference": "name",
}
_MEDIA = {
    "audio_embeds": "audio",
    "audio_url": "audio",
    "image_embeds": "image",
    "image_pil": "image",
    "image_url": "image",
    "input_audio": "audio",
    "input_image": "image",
    "prompt_embeds": "prompt_embeds",
    "video_embeds": "video",
    "video_url": "video",
}
_URLS: dict[str, Any] = {
    "image_url": ChatCompletionContentPartImageParam,
    "audio_url": ChatCompletionContentPartAudioParam,
    "video_url": ChatCompletionContentPartVideoParam,
}
"""The kinds whose address vLLM checks before it says that it cannot read them."""


class Turn(TypedDict):
    """One message with its text parts joined; a message without content has the text ""."""

    role: str
    text: str


def conversation(messages: Iterable[Any], model: str) -> list[Turn]:
    """Return the conversation, in order.

    Raises:
        Rejected: a part is not text, or a call is not a tool call.
        ValueError: a part has a form that the role of its message does not allow; pydantic reads
            parts lazily.
    """
    turns = []
    for message in messages:
        content = message["role"] and message.get("content")
        parts = [] if content is None else [content] if isinstance(content, str) else content
        texts = [text for part in parts if (text := _text(part, model)) is not None]
        turns.append(Turn(role=message["role"], text="\n".join(texts)))
    for message in messages:
        if message["role"] == "assistant":
            _check_calls(message.get("tool_calls"))
    return turns


def _text(part: Any, model: str) -> str | None:
    if isinstance(part, str):
        return part
    kind, uuid = part.get("type"), part.get("uuid")
    known = isinstance(kind, str) and (kind in _TEXT_KEYS or kind in _MEDIA) and uuid is None
    if not known and (kind is None or uuid is not None):
        kind = next((name for name in (*_MEDIA, "tool_reference") if name in part), None)
        if kind is None:
            raise Rejected("Missing 'type' field in multimodal part.", "type")
    if kind in _TEXT_KEYS:
        text: str | None = part.get(_TEXT_KEYS[kind])
        return text
    if kind in _MEDIA:
        if known and (shape := _URLS.get(str(kind))) is not None:
            adapter(shape).validate_python(part)
        raise _no_media(str(kind), model)
    if not isinstance(kind, str):
        raise Rejected("Invalid 'type' field in multimodal part.", "type")
    supported = ", ".join(sorted({*_MEDIA, *_TEXT_KEYS}))
    raise Rejected(
        f"Unsupported chat content part type: {kind!r}. Supported types: {supported}.", "type", kind
    )


def _no_media(kind: str, model: str) -> Rejected:
    if kind == "prompt_embeds":
        return Rejected(
            "You must set `--enable-prompt-embeds` to input `prompt_embeds`", "prompt_embeds"
        )
    return Rejected(
        "The model is not multimodal."
        if kind.endswith("_embeds")
        else f"{model} is not a multimodal model"
    )


def _check_calls(calls: Any) -> None:
    if not isinstance(calls, list):
        return
    for call in calls:
        if not isinstance(call, dict):
            raise Rejected("assistant tool_calls entries must be objects.", "tool_calls")
        if call.get("type", "function") != "function" or not isinstance(call.get("function"), dict):
            raise Rejected(
                "chat completions only support assistant tool_calls of type 'function'.",
                "tool_calls",
            )
