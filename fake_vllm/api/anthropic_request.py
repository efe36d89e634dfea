"""The bodies of `/v1/messages` and `/v1/messages/count_tokens`, and their checks.

The types have the names that vLLM gives them, since errors show some of them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fake_vllm.api import anthropic_errors
from fake_vllm.api.chat_request import AcceptedChatRequest
from fake_vllm.api.sampling import MOST_STOPS

_CHANGES = ("tool_addition", "tool_removal")


class Part(BaseModel):
    """The base of all parts; unknown fields are ignored."""

    model_config = ConfigDict(defer_build=True, protected_namespaces=())


class AnthropicTool(Part):
    name: str
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    defer_loading: bool | None = None

    @field_validator("input_schema")
    @classmethod
    def _default_type(cls, schema: dict[str, Any]) -> dict[str, Any]:
        return schema if "type" in schema else {**schema, "type": "object"}


class AnthropicToolChangeReference(Part):
    type: Literal["tool_reference"]
    name: str


class AnthropicToolChangeDefinition(Part):
    type: Literal["tool_definition"]
    definition: AnthropicTool


AnthropicToolChange: TypeAlias = Annotated[
    AnthropicToolChangeReference | AnthropicToolChangeDefinition, Field(discriminator="type")
]


class AnthropicContentBlock(Part):
    """A block of any type; each type uses some of the fields."""

    type: Literal[
        "text",
        "image",
        "tool_use",
        "tool_result",
        "tool_reference",
        "thinking",
        "redacted_thinking",
        "tool_addition",
        "tool_removal",
    ]
    text: str | None = None
    source: dict[str, Any] | None = None
    id: str | None = None
    tool_use_id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    content: str | list[dict[str, Any]] | None = None
    is_error: bool | None = None
    tool_name: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    tool: AnthropicToolChange | None = None

    @model_validator(mode="after")
    def _check_change(self) -> "AnthropicContentBlock":
        if self.type in _CHANGES:
            if self.tool is None:
                raise ValueError(f"tool is required for {self.type} blocks")
            if self.type == "tool_removal" and self.tool.type != "tool_reference":
                raise ValueError("tool_removal only accepts a tool_reference")
        return self


Content: TypeAlias = str | list[AnthropicContentBlock]


def _refuse_changes(content: Content | None) -> None:
    for block in content if isinstance(content, list) else []:
        if block.type in _CHANGES:
            raise ValueError(f'{block.type} blocks are only allowed in messages with role "system"')


class AnthropicMessage(Part):
    role: Literal["user", "assistant", "system"]
    content: Content

    @model_validator(mode="after")
    def _check_role(self) -> "AnthropicMessage":
        if self.role != "system":
            _refuse_changes(self.content)
        return self


class AnthropicToolChoice(Part):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _check_name(self) -> "AnthropicToolChoice":
        if self.type == "tool" and not self.name:
            raise ValueError("tool_choice.name is required when type is 'tool'")
        return self


class AnthropicJsonOutputFormat(Part):
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    type: Literal["json_schema"] = "json_schema"


class AnthropicOutputConfig(Part):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: AnthropicJsonOutputFormat | None = None


Display: TypeAlias = Literal["summarized", "omitted", "updates"]


class AnthropicThinkingConfigEnabled(Part):
    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1024)
    display: Display | None = None


class AnthropicThinkingConfigDisabled(Part):
    type: Literal["disabled"]


class AnthropicThinkingConfigAdaptive(Part):
    type: Literal["adaptive"]
    display: Display | None = None


AnthropicThinkingConfig: TypeAlias = Annotated[
    AnthropicThinkingConfigEnabled
    | AnthropicThinkingConfigDisabled
    | AnthropicThinkingConfigAdaptive,
    Field(discriminator="type"),
]


def _model_given(model: str) -> str:
    if not model:
        raise ValueError("Model is required")
    return model


def _system_allowed(system: Content | None) -> Content | None:
    _refuse_changes(system)
    return system


class AnthropicMessagesRequest(Part):
    """The body of `/v1/messages`, with fields in vLLM's order, in which pydantic reports faults."""

    model: str
    messages: list[AnthropicMessage]
    max_tokens: int
    metadata: dict[str, Any] | None = None
    output_config: AnthropicOutputConfig | None = None
    thinking: AnthropicThinkingConfig | None = None
    stop_sequences: Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    stream: bool | None = False
    system: Content | None = None
    temperature: float | None = None
    tool_choice: AnthropicToolChoice | None = None
    tools: list[AnthropicTool] | None = None
    top_k: int | None = None
    top_p: float | None = None
    mm_payload: Literal["tensors", "none"] = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: str | None = Field(default=None, min_length=1, max_length=1024)
    watermarking: bool | None = None
    kv_transfer_params: dict[str, Any] | None = None
    ec_transfer_params: dict[str, Any] | None = None
    vllm_xargs: dict[str, str | int | float | list[str | int | float]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    fake_scenario: str | None = None

    _check_model = field_validator("model")(_model_given)
    _check_system = field_validator("system")(_system_allowed)

    @field_validator("max_tokens")
    @classmethod
    def _check_max_tokens(cls, tokens: int) -> int:
        if tokens <= 0:
            raise ValueError("max_tokens must be positive")
        return tokens

    @model_validator(mode="after")
    def _check_budget(self) -> "AnthropicMessagesRequest":
        decoded_elsewhere = (self.kv_transfer_params or {}).get("do_remote_decode")
        if (
            isinstance(self.thinking, AnthropicThinkingConfigEnabled)
            and self.thinking.budget_tokens >= self.max_tokens
            and not decoded_elsewhere
        ):
            raise ValueError("thinking.budget_tokens must be less than max_tokens")
        return self


class AnthropicCountTokensRequest(Part):
    model: str
    messages: list[AnthropicMessage]
    output_config: AnthropicOutputConfig | None = None
    system: Content | None = None
    thinking: AnthropicThinkingConfig | None = None
    tool_choice: AnthropicToolChoice | None = None
    tools: list[AnthropicTool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    _check_model = field_validator("model")(_model_given)
    _check_system = field_validator("system")(_system_allowed)


@dataclass(frozen=True)
class AcceptedMessagesRequest(AcceptedChatRequest):
    """An accepted chat whose answer has Anthropic's form."""

    keeps_alive: ClassVar[bool] = False

    def error_body(self, error: dict[str, Any]) -> dict[str, Any]:
        return anthropic_errors.whole(error, self.rules.release)

    def error_events(self, error: dict[str, Any]) -> list[bytes]:
        return [anthropic_errors.event(error, self.rules.release)]
