"""The body of `/v1/chat/completions/batch`, its checks, and the accepted request."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fake_vllm.api import structured
from fake_vllm.api.accepted_request import AcceptedRequest
from fake_vllm.api.body import Body, Rejected
from fake_vllm.api.chat_request import AcceptedChatRequest, ChatRequest
from fake_vllm.api.messages import ChatMessage
from fake_vllm.api.sampling import INT64, MOST_STOPS
from fake_vllm.model.plan import GenerationPlan


class BatchChatRequest(Body):
    """The body: a chat's, with a list of conversations as its messages."""

    messages: Annotated[
        list[Annotated[list[ChatMessage], Field(min_length=1)]], Field(min_length=1)
    ]
    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    logprob_token_ids: list[int] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    presence_penalty: float | None = None
    response_format: Any | None = None
    seed: int | None = Field(None, ge=-INT64, le=INT64 - 1)
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = Field(
        default_factory=list
    )
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    tool_choice: Literal["none"] | None = "none"
    include_reasoning: bool = True
    best_of: int | None = None
    use_beam_search: bool = False
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    watermarking: bool | None = None
    length_penalty: float | None = 1.0
    early_stopping: bool = False
    structured_outputs: structured.StructuredOutputsParams | None = None
    request_id: str | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    priority: int = Field(default=0, ge=-INT64, le=INT64 - 1)
    cache_salt: str | None = None
    include_stop_str_in_output: bool = False
    guided_decoding_backend: str | None = None
    echo: bool = False
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool = False

    @model_validator(mode="before")
    @classmethod
    def _check_raw(cls, data: Any) -> Any:
        """Make vLLM's own checks of the raw body, in vLLM's order."""
        if not isinstance(data, dict):
            return data
        if data.get("use_beam_search"):
            text = "Batch chat completions do not support beam search."
            raise Rejected(f"{text} Please set `use_beam_search` to False.", "use_beam_search")
        if data.get("logprob_token_ids") and not data.get("logprobs"):
            text = "when using `logprob_token_ids`, `logprobs` must be set to true."
            raise Rejected(text, "logprob_token_ids")
        transfer = data.get("kv_transfer_params")
        if isinstance(transfer, dict) and transfer.get("prompt_token_ids") is not None:
            text = (
                "Batch chat completions do not support `kv_transfer_params['prompt_token_ids']`: "
                "one pre-tokenized prompt cannot serve several conversations."
            )
            raise Rejected(text, "kv_transfer_params.prompt_token_ids")
        structured.check_response_format(data.get("response_format"))
        if (outputs := data.get("structured_outputs")) is not None:
            structured.check_structural_tag(outputs)
        if (n := data.get("n", 1)) not in (None, 1):
            text = "Batch chat completions do not support `n > 1`. Please set `n` to 1."
            raise Rejected(text, "n", n)
        return data

    @property
    def chats(self) -> list[ChatRequest]:
        """Return a chat for each conversation."""
        shared = self.model_dump(exclude={"messages"}, exclude_none=True)
        return [ChatRequest(**{**shared, "messages": messages}) for messages in self.messages]


@dataclass(frozen=True)
class AcceptedBatchRequest(AcceptedRequest):
    """An accepted batch, which is answered whole.

    Attributes:
        chats: the chats in it.
        last_only: whether each answer is its last token, since the request asks for a stream.
    """

    chats: tuple[AcceptedChatRequest, ...]
    last_only: bool

    def plan(self) -> GenerationPlan:
        """Return the plan of the first chat, which has the others' parameters."""
        return replace(self.chats[0].plan(), context=super().plan().context)
