"""What bytes vLLM 0.32 sends: keys, their order, framing. Proved against transcripts in tests/fake_vllm/golden.

JSON is compact and UTF-8 is not escaped, except in an error inside a stream. Keys differ by kind of event: only the finish event
has `stop_reason` in a chat, only the role event has `prompt_token_ids`, and `system_fingerprint` sits in the last event that
holds JSON.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Kind = Literal["chat", "completion"]
Finish = Literal["stop", "length"]
Reason = Literal["stop", "length", "tool_calls"]

VERSION = "0.32.0"
FINGERPRINT = f"vllm-{VERSION}-900574a6"
DONE = b"data: [DONE]\n\n"
STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"vary", b"Origin")]


class Usage(NamedTuple):
    """Token counts of one answer."""

    prompt: int
    completion: int

    def as_json(self) -> dict[str, Any]:
        return {"prompt_tokens": self.prompt, "total_tokens": self.prompt + self.completion, "completion_tokens": self.completion}


class ToolCall(NamedTuple):
    """One whole tool call; the arguments are JSON as text."""

    name: str
    arguments: str


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(value: Any) -> bytes:
    """One SSE event; vLLM sends each in an HTTP chunk of its own."""
    return b"data: " + dumps(value) + b"\n\n"


class Stream:
    """The events of one streamed answer, which all share an id and a time stamp.

    `usage` says whether the client asked for `stream_options.include_usage`.
    """

    def __init__(self, kind: Kind, id: str, created: int, model: str, *, usage: bool) -> None:
        self.kind = kind
        self.usage = usage
        object = "chat.completion.chunk" if kind == "chat" else "text_completion"
        self._head = {"id": id, "object": object, "created": created, "model": model}
        self._tokens: dict[str, bytes] = {}

    def role(self) -> bytes:
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return event({**self._head, "choices": [choice], "prompt_token_ids": None, "prompt_text": None})

    def token(self, text: str) -> bytes:
        # The same words come again and again, so each is encoded once in a stream; the vocabulary bounds the memory.
        if (cached := self._tokens.get(text)) is None:
            if len(self._tokens) > 4096:
                self._tokens.clear()
            cached = self._tokens[text] = event({**self._head, "choices": [self._choice(text)]})
        return cached

    def finish(self, text: str, reason: Reason, stop: str | None) -> bytes:
        body = {**self._head, "choices": [self._choice(text, reason, stop)]}
        return event(body if self.usage else {**body, "system_fingerprint": FINGERPRINT})

    def total(self, usage: Usage) -> bytes:
        return event({**self._head, "choices": [], "usage": usage.as_json(), "system_fingerprint": FINGERPRINT})

    def _delta(self, text: str) -> dict[str, Any]:
        return {"content": text}

    def _choice(self, text: str, reason: Reason | None = None, stop: str | None = None) -> dict[str, Any]:
        if self.kind == "chat":
            choice = {"index": 0, "delta": self._delta(text), "logprobs": None, "finish_reason": reason}
            return {**choice, **({"stop_reason": stop} if reason else {}), "token_ids": None}
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": stop}
        return {**choice, "prompt_token_ids": None, "token_ids": None}


class ToolStream(Stream):
    """The events of an answer that calls tools. Its text is that of the arguments; `mark` in it begins the next call.

    `named` says whether the request named the tool: vLLM's finish reason is "stop" then, and "tool_calls" otherwise.
    """

    def __init__(self, id: str, created: int, model: str, names: Sequence[str], mark: str, *, named: bool, usage: bool) -> None:
        super().__init__("chat", id, created, model, usage=usage)
        self._names = names
        self._mark = mark
        self._named = named
        self._calls = 0

    def token(self, text: str) -> bytes:
        return event({**self._head, "choices": [self._choice(text)]})

    def finish(self, text: str, reason: Reason, stop: str | None) -> bytes:
        return super().finish(text, "tool_calls" if reason == "stop" and not self._named else reason, stop)

    def _delta(self, text: str) -> dict[str, Any]:
        if not text:
            return {}
        more, *begun = text.split(self._mark)
        calls = [self._arguments(more)] if more else []
        for arguments in begun:
            name = {"name": self._names[self._calls]}
            calls.append({"id": tool_call_id(), "type": "function", "index": self._calls, "function": name})
            self._calls += 1
            calls += [self._arguments(arguments)] if arguments else []
        return {"content": None, "tool_calls": calls}

    def _arguments(self, text: str) -> dict[str, Any]:
        return {"index": self._calls - 1, "function": {"arguments": text}}


def tool_call_id() -> str:
    return f"chatcmpl-tool-{uuid.uuid4().hex[:16]}"


def answer(
    kind: Kind,
    id: str,
    created: int,
    model: str,
    text: str | None,
    reason: Reason,
    stop: str | None,
    usage: Usage,
    calls: Sequence[ToolCall] = (),
) -> dict[str, Any]:
    """One whole answer, for a request that did not ask for a stream. All keys are there, with null where nothing is set."""
    counts = {**usage.as_json(), "prompt_tokens_details": None, "completion_tokens_details": None}
    tail = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
    shared = {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": counts}
    ends = {"logprobs": None, "finish_reason": reason, "stop_reason": stop, "token_ids": None}
    if kind == "chat":
        blank = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
        made = [{"id": tool_call_id(), "type": "function", "function": call._asdict()} for call in calls]
        message = {"role": "assistant", "content": text, **blank, **({"tool_calls": made} if made else {}), "reasoning": None}
        choice = {"index": 0, "message": message, **ends, "routed_experts": None}
        prompt = {"prompt_logprobs": None, "prompt_token_ids": None, "prompt_text": None}
        head = {"id": id, "object": "chat.completion", "created": created, "model": model, "choices": [choice]}
        return {**head, **shared, **prompt, **tail}
    choice = {"index": 0, "text": text, **ends, "prompt_logprobs": None, "prompt_token_ids": None, "routed_experts": None}
    head = {"id": id, "object": "text_completion", "created": created, "model": model, "choices": [choice]}
    return {**head, **shared, **tail}


def models(name: str, created: int, max_model_len: int, permission: str) -> dict[str, Any]:
    """The answer of `/v1/models`: a list of one card."""
    allow = {
        "id": permission,
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    card = {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": name,
        "parent": None,
        "max_model_len": max_model_len,
        "permission": [allow],
    }
    return {"object": "list", "data": [card]}


def error(status: int, type: str, message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": status}}
