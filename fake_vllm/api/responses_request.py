"""The body of `/v1/responses`, its checks, and the accepted request."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from fake_vllm.api import structured
from fake_vllm.api import tools as tooling
from fake_vllm.api.accepted_request import AcceptedRequest
from fake_vllm.api.answer_reader import Reading
from fake_vllm.api.body import Body, Rejected
from fake_vllm.api.checks import check_cache_salt
from fake_vllm.api.reasoning import thinks
from fake_vllm.api.response_items import Item
from fake_vllm.api.response_tool_choice import ToolChoice, ToolChoiceCustom, ToolChoiceFunction
from fake_vllm.api.response_tools import CustomTool, FunctionTool, NamespaceTool, Part, Tool
from fake_vllm.api.sampling import INT64, MOST_STOPS
from fake_vllm.api.wire import hex16
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.script import Draft


class ResponseFormatText(Part):
    type: Literal["text"]


class ResponseFormatTextJSONSchemaConfig(Part):
    name: str
    schema_: dict[str, object] = Field(alias="schema")
    type: Literal["json_schema"]
    description: str | None = None
    strict: bool | None = None


class ResponseFormatJSONObject(Part):
    type: Literal["json_object"]


class ResponseTextConfig(Part):
    format: (
        ResponseFormatText | ResponseFormatTextJSONSchemaConfig | ResponseFormatJSONObject | None
    ) = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Part):
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    mode: str | Literal["standard", "pro"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


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
    tools: list[Tool] = Field(default_factory=list)
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


_CUSTOM: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
"""The arguments of a custom tool, as the model sees them."""


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
        if isinstance(chosen, ToolChoiceFunction | ToolChoiceCustom):
            return chosen.name
        return chosen if isinstance(chosen, str) else "auto"

    def plan(self) -> GenerationPlan:
        effort = self.body.reasoning.effort if self.body.reasoning else None
        return self.with_thought(
            super().plan(),
            may_think=thinks(self.body.chat_template_kwargs, effort),
            shown=self.body.include_reasoning,
            choice=self.choice,
        )

    def reading(self, plan: GenerationPlan) -> Reading:
        """Return how to read what the model writes."""
        return Reading(
            calls=self.choice != "none",
            parser=(self.rules.reasoning or "qwen3") if plan.reasons else None,
            hidden=not self.body.include_reasoning,
            one_call=self.body.parallel_tool_calls is False,
        )

    def draft(self, random: Random) -> Draft | None:
        functions = list(_functions(self.body.tools))
        calling = tooling.called(
            functions,
            self.choice,
            self.prompt_values,
            user_spoke_last=self.turns[-1]["role"] == "user",
            parallel=self.body.parallel_tool_calls is not False,
        )
        return (
            super().draft(random)
            if calling is None
            else tooling.draft(functions, calling, self.prompt_values.anew(), random)
        )


def _functions(tools: list[Tool]) -> Iterator[tooling.Function]:
    """Yield the tools that the model can call, as functions."""
    for tool in tools:
        if isinstance(tool, NamespaceTool):
            for inner in tool.tools:
                schema = _CUSTOM if isinstance(inner, CustomTool) else _schema(inner.parameters)
                yield tooling.Function(f"{tool.name}__{inner.name}", schema)
        elif isinstance(tool, CustomTool):
            yield tooling.Function(tool.name, _CUSTOM)
        elif isinstance(tool, FunctionTool):
            yield tooling.Function(tool.name, tool.parameters)


def _schema(parameters: object) -> dict[str, Any] | None:
    return parameters if isinstance(parameters, dict) else None
