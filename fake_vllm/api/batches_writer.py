"""The answer of `/v1/chat/completions/batch`, which is always whole."""

from dataclasses import replace
from typing import Any

from fake_vllm.api.batches_request import AcceptedBatchRequest
from fake_vllm.api.chat_request import AcceptedChatRequest
from fake_vllm.api.chat_writer import ChatWriter
from fake_vllm.api.stream_writer import head
from fake_vllm.api.wire import usage
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.text_piece import Piece


class BatchWriter:
    """The writer of a batch's answer: a chat's answer with a choice for each conversation."""

    def __init__(self, request: AcceptedBatchRequest, plan: GenerationPlan) -> None:
        self._request = request
        shortest = min(len(prompt.ids) for prompt in request.prompts)
        self._writers = [ChatWriter(chat, _bounded(plan, chat, shortest)) for chat in request.chats]
        self.sequences = [writer.sequences[0] for writer in self._writers]
        self._tokens = 0

    def collect(self, index: int, piece: Piece) -> None:
        # vLLM keeps the last part of such an answer only.
        if not self._request.last_only or piece.finish is not None:
            self._tokens += len(piece.ids)
            self._writers[index].collect(0, piece)

    def answer(self) -> dict[str, Any]:
        choices = [
            {**writer.answer()["choices"][0], "index": index}
            for index, writer in enumerate(self._writers)
        ]
        whole = head(self._request.id, "chat.completion", self._request.rules.served_model_name)
        counts = usage(self._request.prompt_tokens, self._tokens)
        unknown = ("prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params")
        return {
            **whole,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": self._request.rules.release.fingerprint,
            "usage": {**counts, "prompt_tokens_details": None, "completion_tokens_details": None},
            **dict.fromkeys((*unknown, "ec_transfer_params", "metrics")),
        }

    def begin(self) -> list[bytes]:
        raise NotImplementedError("A batch is answered whole.")

    def event(self, index: int, piece: Piece) -> bytes:
        raise NotImplementedError("A batch is answered whole.")

    def frame(self, index: int) -> None:
        return None

    def count(self, index: int, tokens: int) -> None:
        raise NotImplementedError("A batch is answered whole.")

    def end(self) -> list[bytes]:
        raise NotImplementedError("A batch is answered whole.")

    def before_error(self) -> list[bytes]:
        return []

    def text_event(self, text: str) -> bytes:
        raise NotImplementedError("A batch is answered whole.")


def _bounded(plan: GenerationPlan, chat: AcceptedChatRequest, shortest: int) -> GenerationPlan:
    """Return the plan with the context that a chat's own prompt leaves."""
    if plan.context is None:
        return plan
    return replace(plan, context=plan.context + shortest - chat.prompt_tokens)
