"""The body of `/v1/responses`, its checks, and the accepted request."""

from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fake_vllm.api import structured
from fake_vllm.api import tools as tooling
from fake_vllm.api.accepted_request import AcceptedRequest
from fake_vllm.api.body import Body, Rejected
from fake_vllm.api.checks import check_cache_salt
from fake_vllm.api.response_items import Item
from fake_vllm.api.sampling import INT64, MOST_STOPS
from fake_vllm.api.wire import hex16
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.script import Draft


class _Part(BaseModel):
    """A part of the body that the answer repeats, with unknown fields."""

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())


class ResponseFormatText(_Part):
    type: Literal["text"]


class ResponseFormatTextJSONSchemaConfig(_Part):
    name: str
    schema_: dict[str, object] = Field(alias="schema")
    type: Literal["json_schema"]
    description: str | None = None
    strict: bool | None = None


class ResponseFormatJSONObject(_Part):
    type: Literal["json_object"]


class ResponseTextConfig(_Part):
    format: (
        ResponseFormatText | ResponseFormatTextJSONSchemaConfig | ResponseFormatJSONObject | None
    ) = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(_Part):
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    mode: str | Literal["standard", "pro"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class FunctionTool(_Part):
    name: str
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    type: Literal["function"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    async_: bool | None = Field(alias="async", default=None)
    defer_loading: bool | None = None
    description: str | None = None
    output_schema: dict[str, object] | None = None


class OtherTool(_Part):
    """A tool of OpenAI's that no model here can call."""

    type: Literal[
        "file_search",
        "computer_use_preview",
        "web_search",
        "mcp",
        "code_interpreter",
        "image_generation",
        "custom",
    ]


class ToolChoiceAllowed(_Part):
    mode: Literal["auto", "required"]
    tools: list[dict[str, object]]
    type: Literal["allowed_tools"]


class ToolChoiceTypes(_Part):
    type: Literal[
        "file_search",
        "web_search_preview",
        "computer",
        "computer_use_preview",
        "computer_use",
        "web_search_preview_2025_03_11",
        "image_generation",
        "code_interpreter",
    ]


class ToolChoiceFunction(_Part):
    name: str
    type: Literal["function"]


class ToolChoiceMcp(_Part):
    server_label: str
    type: Literal["mcp"]
    name: str | None = None


class ToolChoiceCustom(_Part):
    name: str
    type: Literal["custom"]


class ToolChoiceSpecificProgrammaticToolCallingParam(_Part):
    type: Literal["programmatic_tool_calling"]


class ToolChoiceApplyPatch(_Part):
    type: Literal["apply_patch"]


class ToolChoiceShell(_Part):
    type: Literal["shell"]


ToolChoice: TypeAlias = (
    Literal["none", "auto", "required"]
    | ToolChoiceAllowed
    | ToolChoiceTypes
    | ToolChoiceFunction
    | ToolChoiceMcp
    | ToolChoiceCustom
    | ToolChoiceSpecificProgrammaticToolCallingParam
    | ToolChoiceApplyPatch
    | ToolChoiceShell
)


class ResponsesRequest(Body):
    """The body, with fields in vLLM's order, in which pydantic reports faults."""

    background: bool | None = False
    include: (
        list[
            Literal[
                "code_interpreter_call.outputs",
                "computer_call_output.output.image_url",
                "file_search_call.results",
                "message.input_image.image_url",
                "message.output_text.logprobs",
                "reasoning.encrypted_content",
            ],
        ]
        | None
    ) = None
    input: str | list[Item]
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    model: str | None = None
    logit_bias: dict[str, float] | None = None
    parallel_tool_calls: bool | None = True
    previous_response_id: str | None = None
    prompt: Any = None
    reasoning: Reasoning | None = None
    include_reasoning: bool = True
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] = "auto"
    store: bool | None = True
    stream: bool | None = False
    temperature: float | None = None
    text: ResponseTextConfig | None = None
    tool_choice: ToolChoice = "auto"
    tools: list[FunctionTool | OtherTool] = Field(default_factory=list)
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    truncation: Literal["auto", "disabled"] | None = "disabled"
    user: str | None = None
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    presence_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    frequency_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    prompt_cache_key: str | None = None
    watermarking: bool | None = None
    request_id: str = Field(default_factory=lambda: f"resp_{hex16()}")
    session_id: str | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    priority: int = Field(default=0, ge=-INT64, le=INT64 - 1)
    mm_payload: Literal["tensors", "none"] = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: str | None = Field(default=None, min_length=1, max_length=1024)
    enable_response_messages: bool = False
    previous_input_messages: list[dict[Any, Any]] | None = None
    structured_outputs: structured.StructuredOutputsParams | None = None
    repetition_penalty: float | None = None
    seed: int | None = Field(None, ge=-INT64, le=INT64 - 1)
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = Field(
        default_factory=list
    )
    stop_token_ids: list[int] | None = Field(default_factory=list)
    ignore_eos: bool = False
    vllm_xargs: dict[str, str | int | float | list[str | int | float]] | None = None
    kv_transfer_params: dict[str, Any] | None = None
    ec_transfer_params: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    fake_scenario: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_raw(cls, data: Any) -> Any:
        """Make vLLM's own checks of the raw body, in vLLM's order."""
        if not isinstance(data, dict):
            return data
        _check_tools(data)
        for tool in data["tools"] if isinstance(data.get("tools"), list) else []:
            format = tool.get("format") if isinstance(tool, dict) else None
            if (
                isinstance(format, dict)
                and tool.get("type") == "custom"
                and format.get("type") == "grammar"
            ):
                text = (
                    "Custom tools with a grammar format are not supported; only free-form text "
                    "custom tools are accepted."
                )
                raise Rejected(text, "tools")
        if data.get("prompt") is not None:
            raise Rejected("prompt template is not supported", "prompt")
        if data.get("background") and not data.get("store", True):
            raise Rejected("background can only be used when `store` is true", "background")
        check_cache_salt(data.get("cache_salt"))
        return data


def _check_tools(data: dict[str, Any]) -> None:
    given, choice = data.get("tools"), data.get("tool_choice", "auto")
    named = isinstance(choice, dict) and choice.get("type") in ("function", "custom")
    if given is None or len(given) == 0:
        if choice in ("auto", "none"):
            data["tool_choice"] = "none"
        elif choice == "required":
            raise Rejected(
                "Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice"
            )
        elif named:
            raise Rejected("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
    elif named:
        names = [tool.get("name") if isinstance(tool, dict) else None for tool in given]
        if not choice.get("name") or choice["name"] not in names:
            raise Rejected("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")


@dataclass(frozen=True)
class AcceptedResponsesRequest(AcceptedRequest):
    """An accepted request.

    Attributes:
        body: the body of the request.
    """

    keeps_alive: ClassVar[bool] = False

    body: ResponsesRequest

    def error_events(self, error: dict[str, Any]) -> None:
        return None

    @property
    def choice(self) -> str | None:
        """Return the `tool_choice`, or its tool's name; "none" if no tool can be called."""
        chosen = self.body.tool_choice
        if not self.body.tools or not self.rules.tool_calls:
            return "none"
        if isinstance(chosen, ToolChoiceFunction):
            return chosen.name
        return chosen if isinstance(chosen, str) else "auto"

    def draft(self, random: Random) -> Draft | None:
        prompt_values = PromptValues(self.question)
        functions = [
            tooling.Function(tool.name, tool.parameters)
            for tool in self.body.tools
            if isinstance(tool, FunctionTool)
        ]
        calling = tooling.called(
            functions,
            self.choice,
            prompt_values,
            user_spoke_last=self.turns[-1]["role"] == "user",
            parallel=self.body.parallel_tool_calls is not False,
        )
        return (
            super().draft(random)
            if calling is None
            else tooling.draft(functions, calling, prompt_values, random)
        )
