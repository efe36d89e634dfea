"""The endpoints `/tokenize` and `/detokenize`."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from fake_vllm.api.accepted_request import check_model, refusing
from fake_vllm.api.body import Body, Rejected, read
from fake_vllm.api.checks import check_media, check_template
from fake_vllm.api.conversation import conversation
from fake_vllm.api.messages import ChatMessage
from fake_vllm.api.prompts import Room
from fake_vllm.api.sampling import INT64
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.template import render
from fake_vllm.api.tools import ChatCompletionToolsParam
from fake_vllm.model import tokenizer


class TokenizeCompletionRequest(Body):
    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = False


class TokenizeChatRequest(Body):
    model: str | None = None
    messages: list[ChatMessage]
    add_generation_prompt: bool = True
    return_token_strs: bool | None = False
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    tools: list[ChatCompletionToolsParam] | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_raw(cls, data: Any) -> Any:
        if (
            isinstance(data, dict)
            and data.get("continue_final_message")
            and data.get("add_generation_prompt")
        ):
            raise Rejected(
                "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
            )
        return data


class DetokenizeRequest(Body):
    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0, le=INT64 - 1)]]


def tokenize(rules: Rules, content_type: str, body: bytes) -> dict[str, Any]:
    """Return the tokens of a prompt or a chat, of any length.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    kinds: Any = TokenizeCompletionRequest | TokenizeChatRequest
    request: Any = read(kinds, content_type, body)
    check_model(request.model, rules)
    text = (
        request.prompt
        if isinstance(request, TokenizeCompletionRequest)
        else refusing(lambda: _rendered(rules, request))
    )
    ids = Room(None).prompt(text).ids
    strings = [tokenizer.token_string(id) for id in ids] if request.return_token_strs else None
    return {
        "count": len(ids),
        "max_model_len": rules.max_model_len,
        "tokens": ids,
        "token_strs": strings,
    }


def _rendered(rules: Rules, request: TokenizeChatRequest) -> str:
    check_template(request.chat_template, request.chat_template_kwargs)
    check_media(request)
    return render(
        conversation(request.messages, rules.served_model_name),
        add_generation_prompt=request.add_generation_prompt,
        continue_final_message=request.continue_final_message,
        options=request.chat_template_kwargs,
    )


def detokenize(rules: Rules, content_type: str, body: bytes) -> dict[str, Any]:
    """Return the text of tokens.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    request = read(DetokenizeRequest, content_type, body)
    check_model(request.model, rules)
    if any(id >= 2**32 for id in request.tokens):
        refusing(_too_large)
    return {"prompt": tokenizer.decode(request.tokens)}


def _too_large() -> None:
    raise OverflowError("number too large to fit in target type")
