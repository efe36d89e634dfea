"""The messages of a chat: the shapes that vLLM accepts, and the conversation that they come to.

The types and their names are those of OpenAI's and vLLM's own, because both show in error texts: a message that fits none of them is
told what each of them lacks.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal, Required, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from fake_vllm.api.body import Rejected, adapter


class PromptCacheBreakpoint(TypedDict, total=False):
    mode: Required[Literal["explicit"]]
    ttl: Literal["30m", "12h"]


class ChatCompletionContentPartTextParam(TypedDict, total=False):
    text: Required[str]
    type: Required[Literal["text"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ImageURL(TypedDict, total=False):
    url: Required[str]
    detail: Literal["auto", "low", "high", "original"]


class ChatCompletionContentPartImageParam(TypedDict, total=False):
    image_url: Required[ImageURL]
    type: Required[Literal["image_url"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class InputAudio(TypedDict, total=False):
    data: Required[str]
    format: Required[Literal["wav", "mp3"]]


class ChatCompletionContentPartInputAudioParam(TypedDict, total=False):
    input_audio: Required[InputAudio]
    type: Required[Literal["input_audio"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class FileFile(TypedDict, total=False):
    file_data: str
    file_id: str
    filename: str


class File(TypedDict, total=False):
    file: Required[FileFile]
    type: Required[Literal["file"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ChatCompletionContentPartRefusalParam(TypedDict, total=False):
    refusal: Required[str]
    type: Required[Literal["refusal"]]


class MediaURL(TypedDict, total=False):
    url: Required[str]


class ChatCompletionContentPartAudioParam(TypedDict, total=False):
    audio_url: Required[MediaURL]
    type: Required[Literal["audio_url"]]


class ChatCompletionContentPartVideoParam(TypedDict, total=False):
    video_url: Required[MediaURL]
    type: Required[Literal["video_url"]]


Embeds: TypeAlias = str | dict[str, str | list[int | float]]


class ChatCompletionContentPartImageEmbedsParam(TypedDict, total=False):
    image_embeds: Embeds | None
    type: Required[Literal["image_embeds"]]
    uuid: str | None


class ChatCompletionContentPartAudioEmbedsParam(TypedDict, total=False):
    audio_embeds: Embeds | None
    type: Required[Literal["audio_embeds"]]
    uuid: str | None


class ChatCompletionContentPartVideoEmbedsParam(TypedDict, total=False):
    video_embeds: Embeds | None
    type: Required[Literal["video_embeds"]]
    uuid: str | None


class ChatCompletionContentPartPromptEmbedsParam(TypedDict, total=False):
    data: Required[str]
    type: Required[Literal["prompt_embeds"]]


class Image:
    """Stands for a picture in memory, which no JSON can hold."""


class PILImage(BaseModel):
    image_pil: Image
    model_config = ConfigDict(arbitrary_types_allowed=True)


class CustomChatCompletionContentPILImageParam(TypedDict, total=False):
    image_pil: PILImage | None
    uuid: str | None


class CustomChatCompletionContentSimpleImageParam(TypedDict, total=False):
    image_url: str | None
    uuid: str | None


class CustomChatCompletionContentSimpleAudioParam(TypedDict, total=False):
    audio_url: str | None


class CustomChatCompletionContentSimpleVideoParam(TypedDict, total=False):
    video_url: str | None
    uuid: str | None


class CustomChatCompletionContentToolReferenceParam(TypedDict, total=False):
    name: str
    type: Literal["tool_reference"]


class CustomThinkCompletionContentParam(TypedDict, total=False):
    thinking: Required[str]
    closed: bool
    type: Required[Literal["thinking"]]


UserPart: TypeAlias = (
    ChatCompletionContentPartTextParam
    | ChatCompletionContentPartImageParam
    | ChatCompletionContentPartInputAudioParam
    | File
)
CustomPart: TypeAlias = (
    UserPart
    | ChatCompletionContentPartAudioParam
    | ChatCompletionContentPartVideoParam
    | ChatCompletionContentPartRefusalParam
    | CustomChatCompletionContentPILImageParam
    | CustomChatCompletionContentSimpleImageParam
    | ChatCompletionContentPartImageEmbedsParam
    | ChatCompletionContentPartAudioEmbedsParam
    | ChatCompletionContentPartVideoEmbedsParam
    | ChatCompletionContentPartPromptEmbedsParam
    | CustomChatCompletionContentSimpleAudioParam
    | CustomChatCompletionContentSimpleVideoParam
    | CustomChatCompletionContentToolReferenceParam
    | str
    | CustomThinkCompletionContentParam
)


class ChatCompletionDeveloperMessageParam(TypedDict, total=False):
    content: Required[str | Iterable[ChatCompletionContentPartTextParam]]
    role: Required[Literal["developer"]]
    name: str


class ChatCompletionSystemMessageParam(TypedDict, total=False):
    content: Required[str | Iterable[ChatCompletionContentPartTextParam]]
    role: Required[Literal["system"]]
    name: str


class ChatCompletionUserMessageParam(TypedDict, total=False):
    content: Required[str | Iterable[UserPart]]
    role: Required[Literal["user"]]
    name: str


class Audio(TypedDict, total=False):
    id: Required[str]


class FunctionCall(TypedDict, total=False):
    arguments: Required[str]
    name: Required[str]


class ChatCompletionMessageFunctionToolCallParam(TypedDict, total=False):
    id: Required[str]
    function: Required[FunctionCall]
    type: Required[Literal["function"]]


class Custom(TypedDict, total=False):
    input: Required[str]
    name: Required[str]


class ChatCompletionMessageCustomToolCallParam(TypedDict, total=False):
    id: Required[str]
    custom: Required[Custom]
    type: Required[Literal["custom"]]


class ChatCompletionAssistantMessageParam(TypedDict, total=False):
    role: Required[Literal["assistant"]]
    audio: Audio | None
    content: (
        str
        | Iterable[ChatCompletionContentPartTextParam | ChatCompletionContentPartRefusalParam]
        | None
    )
    function_call: FunctionCall | None
    name: str
    refusal: str | None
    tool_calls: Iterable[
        ChatCompletionMessageFunctionToolCallParam | ChatCompletionMessageCustomToolCallParam
    ]


class ChatCompletionToolMessageParam(TypedDict, total=False):
    content: Required[str | Iterable[ChatCompletionContentPartTextParam]]
    role: Required[Literal["tool"]]
    tool_call_id: Required[str]


class ChatCompletionFunctionMessageParam(TypedDict, total=False):
    content: Required[str | None]
    name: Required[str]
    role: Required[Literal["function"]]


class FunctionParam(TypedDict, total=False):
    name: Required[str]
    description: str
    parameters: dict[str, object]
    strict: bool | None


class ChatCompletionFunctionToolParam(TypedDict, total=False):
    function: Required[FunctionParam]
    type: Required[Literal["function"]]


class CustomChatCompletionMessageParam(TypedDict, total=False):
    role: Required[str]
    content: str | list[CustomPart]
    name: str
    tool_call_id: str | None
    tool_calls: list[ChatCompletionMessageFunctionToolCallParam] | None
    reasoning: str | None
    tools: list[ChatCompletionFunctionToolParam] | None
    task: str | None


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    DEVELOPER = "developer"
    TOOL = "tool"

    @classmethod
    def _missing_(cls, value: object) -> "Role":
        raise ValueError(f"Unknown role: {value!r}")


class Author(BaseModel):
    role: Role
    name: str | None = None


class Content(BaseModel):
    """A part of a Harmony message; here its shape does not matter."""


class Message(BaseModel):
    """A message of gpt-oss. The fake cannot render one, but errors list its shape."""

    model_config = ConfigDict(defer_build=True)

    author: Author
    content: list[Content] = Field(default_factory=list)
    channel: str | None = None
    recipient: str | None = None
    content_type: str | None = None


ChatMessage: TypeAlias = (
    ChatCompletionDeveloperMessageParam
    | ChatCompletionSystemMessageParam
    | ChatCompletionUserMessageParam
    | ChatCompletionAssistantMessageParam
    | ChatCompletionToolMessageParam
    | ChatCompletionFunctionMessageParam
    | CustomChatCompletionMessageParam
    | Message
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
"""The kinds of which vLLM looks at the address before it says that it cannot read them."""


class Turn(TypedDict):
    """One message, its text parts joined. Of a message without content the text is ""."""

    role: str
    text: str


def conversation(messages: Iterable[Any], model: str) -> list[Turn]:
    """Return the conversation, in order.

    Raises:
        Rejected: a part is not text, or a call is not one of a tool.
        ValueError: a part does not have the shape that the role of its message allows; pydantic reads parts lazily.
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
