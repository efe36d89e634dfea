"""What a client asked for, and the checks vLLM makes of it, with its own words for what is wrong."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fake_vllm import wire, words
from fake_vllm.engine import Plan

SCENARIO_FIELD = "fake_scenario"
SCENARIO_HEADER = "x-fake-scenario"
COMPLETIONS_MAX_TOKENS = 16


class Refused(Exception):
    """Raised when a request gets an error instead of an answer; holds the status and the JSON body."""

    def __init__(self, status: int, type: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = wire.error(status, type, message, param)


class StreamOptions(BaseModel):
    include_usage: bool | None = False


class Request(BaseModel):
    """What chat and completion requests share. Unknown fields are accepted and ignored, as vLLM does."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    ignore_eos: bool = False
    n: int = 1
    fake_scenario: str | None = None

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else (self.stop or [])

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def asked_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def prompt_text(self) -> str:
        raise NotImplementedError

    def plan(self, max_model_len: int) -> Plan:
        """What a healthy server would make of this request. `max_tokens` is cut to the context without a word, as vLLM does."""
        left = max_model_len - words.count(self.prompt_text)
        return Plan(eos_after=None if self.ignore_eos else max_model_len, max_tokens=self.asked_tokens, context=left)

    def check(self, max_model_len: int) -> None:
        """Raise `Refused` for what vLLM refuses once the body has the right shape."""

        def bad(message: str, param: str, value: Any = None) -> Refused:
            tail = f"(parameter={param}, value={value})" if value is not None else f"(parameter={param})"
            return Refused(400, "BadRequestError", f"{message} {tail}", param)

        if self.stream_options is not None and not self.stream:
            raise bad("Stream options can only be defined when `stream=True`.", "stream_options")
        if self.n != 1:
            raise Refused(400, "BadRequestError", f"fake-vllm answers with one choice only, so n must be 1, got {self.n}.")
        asked = self.asked_tokens
        if asked is not None and asked < 1:
            raise bad(f"max_tokens must be at least 1, got {asked}.", "max_tokens", asked)
        if asked is not None and asked > max_model_len:
            text = f"max_tokens={asked} cannot be greater than max_model_len={max_model_len}. Please request fewer output tokens."
            raise bad(text, "max_tokens", asked)
        if words.count(self.prompt_text) > max_model_len:
            over = max_model_len + 1
            text = (
                f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains at least {over} "
                "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
            )
            raise bad(text, "input_tokens", over)


class ChatRequest(Request):
    messages: list[dict[str, Any]]
    max_completion_tokens: int | None = None

    @property
    def asked_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def prompt_text(self) -> str:
        def text(content: Any) -> str:
            if isinstance(content, list):
                return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            return content if isinstance(content, str) else ""

        return "\n".join(text(message.get("content")) for message in self.messages)

    def check(self, max_model_len: int) -> None:
        if not self.messages:
            text = "Cannot apply chat template to an empty conversation. Provide at least one message."
            raise Refused(400, "BadRequestError", text)
        super().check(max_model_len)


class CompletionRequest(Request):
    prompt: str

    @property
    def asked_tokens(self) -> int | None:
        return COMPLETIONS_MAX_TOKENS if self.max_tokens is None else self.max_tokens

    @property
    def prompt_text(self) -> str:
        return self.prompt


def read(schema: type[Request], content_type: str, body: bytes, served: str) -> Request:
    """Parse and check a body in the order vLLM does: media type, JSON, shape, model name; `Request.check` does the rest.

    Raises:
        Refused: with vLLM's status, type and message.
    """
    if content_type.split(";")[0].strip() != "application/json":
        raise _invalid(["Unsupported Media Type: Only 'application/json' is allowed"], None)
    if not body:
        raise _invalid([str({"type": "missing", "loc": "body", "msg": "Field required", "input": "None"})], "body")
    try:
        value = json.loads(body)
    except ValueError as error:
        at = f"body.{getattr(error, 'pos', 0)}"
        reason = {"error": getattr(error, "msg", str(error))}
        fault = {"type": "json_invalid", "loc": at, "msg": "JSON decode error", "input": "<dict of 0 items>", "ctx": reason}
        raise _invalid([str(fault)], at) from None
    try:
        request = schema.model_validate(value)
    except ValidationError as error:
        faults = [
            {"type": e["type"], "loc": ".".join(["body", *map(str, e["loc"])]), "msg": e["msg"], "input": _brief(e["input"])}
            for e in error.errors(include_url=False)
        ]
        raise _invalid([str(fault) for fault in faults], faults[0]["loc"]) from None
    if request.model not in (None, served):
        text = f"The model `{request.model}` does not exist. Valid aliases: {served}."
        raise Refused(404, "NotFoundError", text, "model")
    return request


def _invalid(faults: list[str], param: str | None) -> Refused:
    title = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''}:"
    return Refused(400, "Bad Request", "\n  ".join([title, *faults]), param)


def _brief(value: Any) -> str:
    return f"<{type(value).__name__} of {len(value)} items>" if isinstance(value, dict | list) else str(value)
