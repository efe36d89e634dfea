"""Requests of `/v1/messages`, accepted or refused as by vLLM."""

from collections.abc import Callable
from typing import Any, TypeVar

from fake_vllm.api import anthropic_errors
from fake_vllm.api.accepted_request import refusing
from fake_vllm.api.anthropic_chat import AnyRequest, as_chat
from fake_vllm.api.anthropic_request import (
    AcceptedMessagesRequest,
    AnthropicCountTokensRequest,
    AnthropicMessagesRequest,
)
from fake_vllm.api.body import Rejected, read
from fake_vllm.api.chat import accept
from fake_vllm.api.chat_request import AcceptedChatRequest, ChatRequest
from fake_vllm.api.failed_writer import FailedWriter
from fake_vllm.api.refused import Refused
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.tools import ChatCompletionNamedToolChoiceParam
from fake_vllm.api.writer import ResponseWriter
from fake_vllm.model.plan import GenerationPlan

Made = TypeVar("Made")


def message(
    rules: Rules, content_type: str, body: bytes, request_id: str | None
) -> AcceptedMessagesRequest:
    """Accept a request for a message.

    Args:
        rules: the server's rules.
        content_type: the header Content-Type. Empty: there is none.
        body: the bytes of the body.
        request_id: the header X-Request-Id. None: there is none.

    Raises:
        Refused: a check failed. A body of another form gets OpenAI's error, as on vLLM, and
            anything else Anthropic's.
    """
    request = read(AnthropicMessagesRequest, content_type, body)
    chat = _reworded(rules, lambda: _accept(rules, request, request_id))
    fields = {**vars(chat), "make_writer": _writer}
    return AcceptedMessagesRequest(**fields)


def count_tokens(rules: Rules, content_type: str, body: bytes) -> dict[str, Any]:
    """Return the number of tokens of a conversation.

    Raises:
        Refused: as for a message.
    """
    request = read(AnthropicCountTokensRequest, content_type, body)
    tokens = _reworded(rules, lambda: _accept(rules, request, None)).prompt_tokens
    return {"input_tokens": tokens, "context_management": {"original_input_tokens": tokens}}


def _accept(rules: Rules, request: AnyRequest, request_id: str | None) -> AcceptedChatRequest:
    chat: ChatRequest = refusing(lambda: as_chat(request))
    accepted = accept(rules, chat, request_id)
    refusing(lambda: _check_named(chat))
    return accepted


def _check_named(chat: ChatRequest) -> None:
    """Raise `Rejected` if the tool to call is not among the tools."""
    chosen = chat.tool_choice
    if not chat.tools or not isinstance(chosen, ChatCompletionNamedToolChoiceParam):
        return
    name = chosen.function.name
    if all(tool.function.name != name for tool in chat.tools):
        raise Rejected(f"The tool with name '{name}' is not found in the tools list.")


def _reworded(rules: Rules, accept: Callable[[], Made]) -> Made:
    """Call `accept`, and give a refusal Anthropic's form.

    Raises:
        Refused: a check failed.
    """
    try:
        return accept()
    except Refused as refused:
        refused.body = anthropic_errors.whole(refused.body, rules.release)
        raise


def _writer(request: AcceptedMessagesRequest, plan: GenerationPlan) -> ResponseWriter:
    if request.failure:
        return FailedWriter(request.error_events(request.failure.body))
    from fake_vllm.api.anthropic_writer import AnthropicWriter

    return AnthropicWriter(request, plan)
