"""`/v1/responses`: the body, its checks, what is accepted, and what is said of responses that were never kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fake_vllm.api import structured
from fake_vllm.api import tools as tooling
from fake_vllm.api.accepted import Accepted, check_model, engine_failure, telling
from fake_vllm.api.body import Body, Rejected, check_query, read
from fake_vllm.api.checks import check_cache_salt, check_media, check_template
from fake_vllm.api.job import Job
from fake_vllm.api.messages import Turn
from fake_vllm.api.prompts import WHOLE, Room
from fake_vllm.api.refused import Refused
from fake_vllm.api.response_items import Item, turns
from fake_vllm.api.rules import Rules
from fake_vllm.api.sampling import INT64, MOST_STOPS, parameters, sampling
from fake_vllm.api.template import render
from fake_vllm.api.wire import hex16
from fake_vllm.model.offers import Offers
from fake_vllm.model.plan import Plan
from fake_vllm.model.script import Draft


class _Part(BaseModel):
    """A part of the body that the answer repeats; unknown fields are kept."""

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
    format: ResponseFormatText | ResponseFormatTextJSONSchemaConfig | ResponseFormatJSONObject | None = None
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
    """A tool that OpenAI has and no model here can call."""

    type: Literal["file_search", "computer_use_preview", "web_search", "mcp", "code_interpreter", "image_generation", "custom"]


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
    """The body. Fields stand in vLLM's order, in which pydantic tells of faults."""

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
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = Field(default_factory=list)
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
        """vLLM's own checks of the raw body, in the order in which it makes them."""
        if not isinstance(data, dict):
            return data
        _check_tools(data)
        for tool in data["tools"] if isinstance(data.get("tools"), list) else []:
            format = tool.get("format") if isinstance(tool, dict) else None
            if isinstance(format, dict) and tool.get("type") == "custom" and format.get("type") == "grammar":
                text = "Custom tools with a grammar format are not supported; only free-form text custom tools are accepted."
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
            raise Rejected("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
        elif named:
            raise Rejected("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
    elif named:
        names = [tool.get("name") if isinstance(tool, dict) else None for tool in given]
        if not choice.get("name") or choice["name"] not in names:
            raise Rejected("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")


@dataclass(frozen=True)
class AskedResponse(Accepted):
    """An accepted response."""

    body: ResponsesRequest
    said: list[Turn]

    @property
    def choice(self) -> str | None:
        """The `tool_choice`; the name if it is a certain tool. "none" if no tools can be called."""
        chosen = self.body.tool_choice
        if not self.body.tools or not self.rules.tool_calls:
            return "none"
        if isinstance(chosen, ToolChoiceFunction):
            return chosen.name
        return chosen if isinstance(chosen, str) else "auto"

    def draft(self, random: Random) -> Draft | None:
        offers = Offers(self.question)
        functions = [tooling.Function(tool.name, tool.parameters) for tool in self.body.tools if isinstance(tool, FunctionTool)]
        asked, parallel = self.said[-1]["role"] == "user", self.body.parallel_tool_calls is not False
        calling = tooling.called(functions, self.choice, offers, asked=asked, parallel=parallel) if functions else None
        return super().draft(random) if calling is None else tooling.draft(functions, calling, offers, random)

    def job(self, plan: Plan) -> Job:
        from fake_vllm.api.response_job import ResponseJob, failed_response

        return failed_response(self, plan) if self.failure else ResponseJob(self, plan)


def response(rules: Rules, content_type: str, body: bytes, request_id: str | None) -> AskedResponse:
    """Accept a response. `request_id`, the header X-Request-Id, does not name it; the body's field does.

    Raises:
        Refused: with vLLM's status, type and message.
    """
    request = read(ResponsesRequest, content_type, body)
    check_model(request.model, rules)
    accepted: AskedResponse = telling(lambda: _accept(rules, request))
    return accepted


def unknown_response(id: str, query: Mapping[str, str] = MappingProxyType({})) -> Refused:
    """What is said of a response that is not kept, and none is: to those who get it, cancel it, or go on from it.

    `query`: the query string of those who get it; a value in it that cannot be is told of first.
    """
    for name, kind in (("starting_after", int | None), ("stream", bool | None)):
        if name in query:
            check_query(kind, name, query[name])
    return Refused(404, "invalid_request_error", f"Response with id '{id}' not found.", "response_id")


def _accept(rules: Rules, body: ResponsesRequest) -> AskedResponse:
    if body.store and body.background:
        text = (
            "This vLLM engine does not support `store=True` and therefore does not support the background mode. To enable these "
            "features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server."
        )
        raise Refused(400, "invalid_request_error", text, "background")
    if body.previous_input_messages and body.previous_response_id:
        text = "Only one of `previous_input_messages` and `previous_response_id` can be set."
        raise Refused(400, "invalid_request_error", text, "previous_response_id")
    check_template(None, body.chat_template_kwargs)
    if body.previous_response_id is not None:
        raise unknown_response(body.previous_response_id)
    check_media(body)
    keep = None if body.truncation == "disabled" else WHOLE
    room = Room(rules.max_model_len, body.max_output_tokens or 0, "max_output_tokens", keep)
    room.check()
    said = turns(body.instructions, body.input, rules.served_model_name)
    prompt = room.prompt(render(said, options=body.chat_template_kwargs))
    left = rules.max_model_len - len(prompt.ids)
    if left <= 0:
        text = (
            f"The engine prompt length {len(prompt.ids)} exceeds the max_model_len {rules.max_model_len}. Please reduce prompt."
        )
        raise Refused(400, "invalid_request_error", text, "input")
    asked = body.max_output_tokens
    made = parameters(
        body,
        max_tokens=left if asked is None else min(left, asked),
        constraint=_constraint(body),
        logprobs=body.top_logprobs if "message.output_text.logprobs" in (body.include or ()) else None,
    )
    told = "\n".join(turn["text"] for turn in said)
    return AskedResponse(
        rules=rules,
        id=body.request_id,
        stream=bool(body.stream),
        prompts=[prompt],
        parameters=made,
        sampling=sampling(body, made),
        asked_tokens=asked,
        seeds=[f"{body.seed or 0} {told}"],
        question=next((turn["text"] for turn in reversed(said) if turn["role"] == "user"), ""),
        scenario=body.fake_scenario,
        failure=engine_failure(made, [prompt], bool(body.stream)),
        body=body,
        said=said,
    )


def _constraint(body: ResponsesRequest) -> structured.StructuredOutputsParams | None:
    format = body.text.format if body.text else None
    if format is None:
        return body.structured_outputs
    if body.structured_outputs is not None:
        raise Rejected("Cannot specify both structured_outputs and text.format", "structured_outputs")
    if isinstance(format, ResponseFormatJSONObject):
        return structured.StructuredOutputsParams(json_object=True)
    if isinstance(format, ResponseFormatTextJSONSchemaConfig):
        return structured.StructuredOutputsParams(json=format.schema_)
    return None
