"""The answer of `/v1/messages`: a chat's answer in Anthropic's form."""

import json
from typing import Any

from fake_vllm.api.anthropic_blocks import Blocks
from fake_vllm.api.anthropic_errors import named
from fake_vllm.api.chat_request import AcceptedChatRequest
from fake_vllm.api.chat_writer import ChatWriter
from fake_vllm.api.wire import hex32
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.text_piece import Piece


class AnthropicWriter(ChatWriter):
    """The writer of one message, which converts the deltas of a chat."""

    def __init__(self, request: AcceptedChatRequest, plan: GenerationPlan) -> None:
        super().__init__(request, plan)
        self._blocks = Blocks(keeps_arguments=self._collects)
        self._finish: str | None = None
        self._stop: str | int | None = None

    def begin(self) -> list[bytes]:
        message = {
            "id": self.head["id"],
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.head["model"],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": sum(self.prompt_tokens), "output_tokens": 0},
        }
        return [named("message_start", {"type": "message_start", "message": message})]

    def event(self, index: int, piece: Piece) -> bytes:
        plain = self._plain and piece.finish is None and piece.text
        opened = self._blocks.opened("text") if plain else b""  # it is not a part of the frame
        return opened + super().event(index, piece)

    def before_error(self) -> list[bytes]:
        return self._blocks.closed() if self.release.anthropic_errors else []

    def text_event(self, text: str) -> bytes:
        return self._blocks.text_delta(text)

    def _event(self, index: int, delta: dict[str, Any], piece: Piece) -> bytes:
        if piece.finish is not None:
            self._finish, self._stop = self.finish_reason(index, piece), piece.stop
        return self._blocks.events(delta)

    def end(self) -> list[bytes]:
        closed = self._blocks.closed()
        reason, sequence = _stop_reason(
            self._finish,
            self._stop,
            used=self._blocks.called,
            complete=self._blocks.complete,
        )
        ended = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": sequence},
            "usage": self._usage(self.choice_tokens(0)),
        }
        stopped = named("message_stop", {"type": "message_stop"})
        return [*closed, named("message_delta", ended), stopped]

    def answer(self) -> dict[str, Any]:
        chat = super().answer()
        [choice] = chat["choices"]
        message = choice["message"]
        calls = message.get("tool_calls", ())
        reason, sequence = _stop_reason(
            choice["finish_reason"], choice["stop_reason"], used=bool(calls), complete=bool(calls)
        )
        return {
            "id": chat["id"],
            "type": "message",
            "role": "assistant",
            "content": _content(message["reasoning"], message["content"], calls),
            "model": chat["model"],
            **({} if reason is None else {"stop_reason": reason}),
            **({} if sequence is None else {"stop_sequence": sequence}),
            "usage": self._usage(chat["usage"]["completion_tokens"]),
        }

    def _usage(self, output_tokens: int) -> dict[str, int]:
        details = self.prompt_details(whole=False) or {}
        read, created = details.get("cached_tokens"), details.get("created_cache_tokens")
        tokens = sum(self.prompt_tokens) - (read or 0) - (created or 0)
        usage = {"input_tokens": max(0, tokens), "output_tokens": output_tokens}
        if created is not None:
            usage["cache_creation_input_tokens"] = created
        if read is not None:
            usage["cache_read_input_tokens"] = read
        return usage


def _content(reasoning: str | None, text: str | None, calls: Any) -> list[dict[str, Any]]:
    """Return the blocks of a whole answer; without any, there is an empty text."""
    blocks: list[dict[str, Any]] = []
    if reasoning:
        blocks.append({"type": "thinking", "thinking": reasoning, "signature": hex32()})
    if text:
        blocks.append({"type": "text", "text": text})
    for call in calls:
        function = call["function"]
        block = {"type": "tool_use", "id": call["id"], "name": function["name"]}
        given = json.loads(function["arguments"])
        blocks.append(block if given is None else {**block, "input": given})
    return blocks or [{"type": "text", "text": ""}]


def _stop_reason(
    finish: str | None, stop: str | int | None, *, used: bool, complete: bool
) -> tuple[str | None, str | None]:
    """Return Anthropic's `stop_reason` and `stop_sequence`.

    Args:
        finish: the chat's `finish_reason`.
        stop: the stop string, or stop token, that ended the text. None: neither did.
        used: whether a tool is called.
        complete: whether the last call is complete, which a stop string can prevent.
    """
    if finish == "length":
        return "max_tokens", None
    if finish not in ("stop", "tool_calls"):
        return None, None
    if complete:
        return "tool_use", None
    if isinstance(stop, str):
        return "stop_sequence", stop
    return ("tool_use" if used or finish == "tool_calls" else "end_turn"), None
