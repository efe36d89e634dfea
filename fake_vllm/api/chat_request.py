"""The body of `/v1/chat/completions`, its checks, and the accepted request."""

from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fake_vllm.api import structured
from fake_vllm.api import tools as tooling
from fake_vllm.api.accepted_request import AcceptedRequest
from fake_vllm.api.answer_reader import Reading
from fake_vllm.api.body import Body, Rejected
from fake_vllm.api.checks import (
    StreamOptions,
    check_cache_salt,
    check_logprobs,
    check_stream_options,
)
from fake_vllm.api.messages import ChatMessage
from fake_vllm.api.reasoning import thinks
from fake_vllm.api.sampling import INT64, MOST_STOPS, RepetitionDetectionParams, ThinkingTokenBudget
from fake_vllm.api.wire import hex16
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.script import Draft


class ChatRequest(Body):
    """The body, with fields in vLLM's order, in which pydantic reports faults."""

    messages: list[ChatMessage]
    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    presence_penalty: float | None = None
    response_format: structured.AnyResponseFormat | None = None
    seed: int | None = Field(None, ge=-INT64, le=INT64 - 1)
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = Field(
        default_factory=list
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[tooling.ChatCompletionToolsParam] | None = None
    tool_choice: (
        Literal["none"]
        | Literal["auto"]
        | Literal["required"]
        | tooling.ChatCompletionNamedToolChoiceParam
        | None
    ) = "none"
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    thinking_token_budget: ThinkingTokenBudget = None
    include_reasoning: bool = True
    parallel_tool_calls: bool | None = True
    user: str | None = None
    use_beam_search: bool = False
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    watermarking: bool | None = None
    length_penalty: float = 1.0
    stop_token_ids: list[int] | None = Field(default_factory=list)
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=INT64 - 1)] | None = None
    truncation_side: Literal["left", "right"] | None = None
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] = Field(default_factory=list)
    echo: bool = False
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: list[dict[str, str]] | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    structured_outputs: structured.StructuredOutputsParams | None = None
    priority: int = Field(default=0, ge=-INT64, le=INT64 - 1)
    request_id: str = Field(default_factory=hex16)
    session_id: str | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None
    routed_experts_prompt_start: int = Field(default=0, ge=0)
    return_token_offsets: bool | None = False
    return_prompt_text: bool | None = None
    mm_payload: Literal["tensors", "none"] = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: str | None = Field(default=None, min_length=1, max_length=1024)
    kv_transfer_params: dict[str, Any] | None = None
    ec_transfer_params: dict[str, Any] | None = None
    vllm_xargs: dict[str, str | int | float | list[str | int | float]] | None = None
    repetition_detection: RepetitionDetectionParams | None = None
    stream_interval: Annotated[int, Field(ge=1)] | None = None
    fake_scenario: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_raw(cls, data: Any) -> Any:
        """Make vLLM's own checks of the raw body, in vLLM's order."""
        if not isinstance(data, dict):
            return data
        messages = data.get("messages", [])
        iter(messages)  # vLLM iterates before it checks the type
        if data.get("continue_final_message") and data.get("add_generation_prompt"):
            raise Rejected(
                "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
            )
        tooling.check(data)
        outputs = data.get("structured_outputs")
        structured.check_structured_outputs(outputs)
        if outputs is not None:
            if any(
                outputs.get(kind) is not None for kind in ("json", "regex", "choice")
            ) and data.get("tool_choice", "none") not in (
                "none",
                "auto",
                "required",
            ):
                raise Rejected(
                    "You can only either use constraints for structured outputs or tools, not both."
                )
            structured.check_structural_tag(outputs)
        check_logprobs(data, "top_logprobs")
        check_stream_options(data)
        structured.check_response_format(data.get("response_format"))
        _normalize(messages)
        check_cache_salt(data.get("cache_salt"))
        return data

    @model_validator(mode="after")
    def _read_calls(self) -> "ChatRequest":
        """Read the calls in messages, which pydantic reads lazily."""
        for message in self.messages:
            if isinstance(message, dict):
                calls: Any = message.get("tool_calls")
                if calls is not None and not isinstance(calls, list):
                    message["tool_calls"] = list(calls)  # type: ignore[typeddict-unknown-key]
        return self


def _normalize(messages: Any) -> None:
    for message in messages if isinstance(messages, list) else []:
        if not isinstance(message, dict):
            continue
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            message["tool_calls"] = list(calls)
        reasoning = message.pop("reasoning_content", None)
        if reasoning is not None and message.get("reasoning") is None:
            message["reasoning"] = reasoning


@dataclass(frozen=True)
class AcceptedChatRequest(AcceptedRequest):
    """An accepted chat.

    Attributes:
        body: the body of the request.
    """

    body: ChatRequest

    @property
    def role(self) -> str:
        """Return the role of the answer."""
        return "assistant" if self.body.add_generation_prompt else self.turns[-1]["role"]

    @property
    def echoed(self) -> str:
        """Return what `echo` repeats: the last message, if its role is the answer's."""
        last = self.turns[-1]
        return last["text"] if self.body.echo and last["role"] == self.role else ""

    @property
    def choice(self) -> str | None:
        """Return the `tool_choice`, or its tool's name; "none" without tools."""
        chosen = self.body.tool_choice
        if not self.body.tools:
            return "none"
        return (
            chosen.function.name
            if isinstance(chosen, tooling.ChatCompletionNamedToolChoiceParam)
            else chosen
        )

    def plan(self) -> GenerationPlan:
        body, budget = self.body, self.body.thinking_token_budget
        plan = self.with_thought(
            super().plan(),
            may_think=thinks(body.chat_template_kwargs, body.reasoning_effort),
            shown=body.include_reasoning,
            choice=self.choice,
        )
        bounded = plan.reasons and budget is not None and budget >= 0
        return replace(plan, most_thinking=budget if bounded else None)

    def reading(self, plan: GenerationPlan) -> Reading:
        """Return how to read what the model writes."""
        always = self.rules.reasoning == "deepseek_r1" and not self.stream
        return Reading(
            calls=self.rules.tool_calls and self.choice != "none",
            parser=(self.rules.reasoning or "qwen3") if plan.reasons or always else None,
            prompt=self.prompts[0].text if self.body.continue_final_message else "",
            looks_back=self.rules.release.reads_prompt,
            hidden=not self.body.include_reasoning,
            one_call=self.body.parallel_tool_calls is False,
        )

    def draft(self, random: Random) -> Draft | None:
        functions = [
            tooling.Function(tool.function.name, tool.function.parameters)
            for tool in self.body.tools or []
        ]
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
