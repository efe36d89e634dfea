"""Requests of `/v1/chat/completions/batch`: several conversations with one answer."""

from dataclasses import fields
from typing import Any

from fake_vllm.api.accepted_request import AcceptedRequest, check_model, refusing
from fake_vllm.api.batches_request import AcceptedBatchRequest, BatchChatRequest
from fake_vllm.api.body import read
from fake_vllm.api.chat import accept
from fake_vllm.api.chat_request import ChatRequest
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.writer import ResponseWriter
from fake_vllm.model.plan import GenerationPlan


def batch(
    rules: Rules, content_type: str, body: bytes, request_id: str | None
) -> AcceptedBatchRequest:
    """Accept a batch of chats.

    Args:
        rules: the server's rules.
        content_type: the header Content-Type. Empty: there is none.
        body: the bytes of the body.
        request_id: the header X-Request-Id. None: there is none.

    Raises:
        Refused: a check failed; one wrong conversation is enough.
    """
    request = read(BatchChatRequest, content_type, body)
    check_model(request.model, rules)
    chats: list[ChatRequest] = refusing(lambda: request.chats)
    streamed = any(chat.stream for chat in chats)
    accepted = [
        accept(rules, chat.model_copy(update={"stream": False}), request_id) for chat in chats
    ]
    first = accepted[0]
    shared = {field.name: getattr(first, field.name) for field in fields(AcceptedRequest)}
    together: dict[str, Any] = {
        "prompts": [prompt for chat in accepted for prompt in chat.prompts],
        "seeds": [seed for chat in accepted for seed in chat.seeds],
        "make_writer": _writer,
    }
    return AcceptedBatchRequest(**{**shared, **together}, chats=tuple(accepted), last_only=streamed)


def _writer(request: AcceptedBatchRequest, plan: GenerationPlan) -> ResponseWriter:
    from fake_vllm.api.batches_writer import BatchWriter  # most servers only ever chat

    return BatchWriter(request, plan)
