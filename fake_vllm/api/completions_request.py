"""The body of `/v1/completions`, its checks, and the accepted request."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fake_vllm.api import structured
from fake_vllm.api.accepted_request import AcceptedRequest
from fake_vllm.api.body import Body, Rejected
from fake_vllm.api.checks import (
    StreamOptions,
    check_cache_salt,
    check_logprobs,
    check_stream_options,
)
from fake_vllm.api.sampling import INT64, MOST_STOPS, RepetitionDetectionParams, ThinkingTokenBudget
from fake_vllm.api.wire import hex16
from fake_vllm.model.plan import GenerationPlan

MAX_TOKENS = 16
"""The most tokens of a completion that does not set `max_tokens`."""
_MOST_PROMPTS = 1024


class CompletionRequest(Body):
    """The body, with fields in vLLM's order, in which pydantic reports faults."""

    model: str | None = None
    prompt: (
        list[Annotated[int, Field(ge=0)]]
        | list[list[Annotated[int, Field(ge=0)]]]
        | str
        | list[str]
        | None
    ) = None
    echo: bool | None = False
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    max_tokens: int | None = MAX_TOKENS
    n: int = 1
    presence_penalty: float | None = None
    seed: int | None = Field(None, ge=-INT64, le=INT64 - 1)
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = Field(
        default_factory=list
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: float | None = None
    top_p: float | None = None
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
    allowed_token_ids: list[int] | None = None
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    bad_words: list[str] = Field(default_factory=list)
    prompt_embeds: bytes | list[bytes] | None = None
    add_special_tokens: bool = True
    response_format: structured.AnyResponseFormat | None = None
    structured_outputs: structured.StructuredOutputsParams | None = None
    priority: int = Field(default=0, ge=-INT64, le=INT64 - 1)
    request_id: str = Field(default_factory=hex16)
    session_id: str | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None
    routed_experts_prompt_start: int = Field(default=0, ge=0)
    return_token_offsets: bool | None = False
    mm_payload: Literal["tensors", "none"] = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: str | None = Field(default=None, min_length=1, max_length=1024)
    kv_transfer_params: dict[str, Any] | None = None
    ec_transfer_params: dict[str, Any] | None = None
    vllm_xargs: dict[str, str | int | float | list[str | int | float]] | None = None
    repetition_detection: RepetitionDetectionParams | None = None
    thinking_token_budget: ThinkingTokenBudget = None
    stream_interval: Annotated[int, Field(ge=1)] | None = None
    fake_scenario: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_raw(cls, data: Any) -> Any:
        """Make vLLM's own checks of the raw body, in vLLM's order."""
        if not isinstance(data, dict):
            return data
        _check_prompts(data.get("prompt"), data.get("prompt_embeds"))
        check_stream_options(data)
        if data.get("use_beam_search") and data.get("echo") and data.get("logprobs") is not None:
            text = (
                "`echo` with `logprobs` is not supported with beam search because beam search does "
                "not compute prompt logprobs."
            )
            raise Rejected(text, "echo")
        check_logprobs(data, "logprobs")
        structured.check_structured_outputs(data.get("structured_outputs"), "structured_outputs")
        structured.check_structural_tag(data.get("structured_outputs"))
        structured.check_response_format(data.get("response_format"))
        if data.get("max_tokens") is None:
            data = {**data, "max_tokens": MAX_TOKENS}
        check_cache_salt(data.get("cache_salt"))
        return data


def _check_prompts(prompt: Any, embeds: Any) -> None:
    ids = isinstance(prompt, list) and all(isinstance(one, int) for one in prompt)
    for name, value in (("prompt", None if ids else prompt), ("prompt_embeds", embeds)):
        if isinstance(value, list) and len(value) > _MOST_PROMPTS:
            text = (
                f"{name} list length {len(value)} exceeds the maximum allowed count of "
                f"{_MOST_PROMPTS}."
            )
            raise Rejected(
                f"{text} To increase this limit, set the VLLM_MAX_COMPLETION_PROMPTS environment "
                "variable.",
                name,
            )
    if prompt in (None, "") and embeds in (None, []):
        raise Rejected("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")


@dataclass(frozen=True)
class AcceptedCompletionRequest(AcceptedRequest):
    """An accepted completion."""

    body: CompletionRequest

    def plan(self) -> GenerationPlan:
        plan = super().plan()
        if self.body.echo and self.max_tokens == 0:
            # The engine makes one token, although only the prompt is shown.
            return GenerationPlan(plan.eos_after, 1, plan.context)
        return plan
