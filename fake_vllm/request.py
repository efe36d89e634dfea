"""What a client asked for, and the checks vLLM makes of it, with its own words for what is wrong."""

import json
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fake_vllm import structured, tool_calls, words
from fake_vllm.engine import Plan
from fake_vllm.json_schema import SchemaError
from fake_vllm.offers import Offers
from fake_vllm.refused import Refused, bad
from fake_vllm.script import Script

SCENARIO_FIELD = "fake_scenario"
SCENARIO_HEADER = "x-fake-scenario"
COMPLETIONS_MAX_TOKENS = 16
MEDIA = ("image", "audio", "video", "file", "input_image", "input_audio", "input_file")


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
    response_format: structured.ResponseFormat | None = None
    structured_outputs: structured.StructuredOutputs | None = None
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

    @property
    def question(self) -> str:
        """The part of the prompt that the answer refers to."""
        return self.prompt_text

    def script(self) -> Script:
        """What the model says.

        Raises:
            Refused: no text can be made up for a schema.
        """
        seed = f"{self.seed or 0} {self.prompt_text}"
        try:
            return self._script(seed)
        except SchemaError as error:
            raise bad(str(error)) from None

    def _script(self, seed: str) -> Script:
        if self.structured_outputs is None and self.response_format is None:
            return Script(seed)
        draft = structured.draft(self.response_format, self.structured_outputs, Offers(self.question), Random(seed))
        return Script(seed, draft)

    def plan(self, max_model_len: int) -> Plan:
        """What a healthy server would make of this request. `max_tokens` is cut to the context without a word, as vLLM does."""
        left = max_model_len - words.count(self.prompt_text)
        return Plan(eos_after=None if self.ignore_eos else max_model_len, max_tokens=self.asked_tokens, context=left)

    def check(self, max_model_len: int) -> None:
        """Raise `Refused` for what vLLM refuses once the body has the right shape."""
        if self.stream_options is not None and not self.stream:
            raise bad("Stream options can only be defined when `stream=True`.", "stream_options")
        if self.n != 1:
            raise bad(f"fake-vllm answers with one choice only, so n must be 1, got {self.n}.")
        structured.check(self.response_format, self.structured_outputs)
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
    tools: list[tool_calls.Tool] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None

    @property
    def asked_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def prompt_text(self) -> str:
        return "\n".join(_text(message.get("content")) for message in self.messages)

    @property
    def question(self) -> str:
        """What the user said last."""
        said = (_text(message.get("content")) for message in reversed(self.messages) if message.get("role") == "user")
        return next(said, "")

    def _script(self, seed: str) -> Script:
        if not self.tools or self.tool_choice == "none":
            return super()._script(seed)
        offers = Offers(self.question)
        asked, parallel = self.messages[-1].get("role") == "user", self.parallel_tool_calls is not False
        calling = tool_calls.called(self.tools, self.tool_choice, offers, asked=asked, parallel=parallel)
        if calling is None:
            return super()._script(seed)
        return Script(seed, tool_calls.arguments(self.tools, calling, offers, Random(seed)), calling)

    def check(self, max_model_len: int) -> None:
        if not self.messages:
            raise bad("Cannot apply chat template to an empty conversation. Provide at least one message.")
        tool_calls.check(self.tools, self.tool_choice)
        if isinstance(self.tool_choice, dict) and self.structured_outputs is not None:
            raise bad("You can only either use constraints for structured outputs or tools, not both.")
        if any(_has_media(message.get("content")) for message in self.messages):
            raise bad(f"{self.model} is not a multimodal model")
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
    request.model = served
    return request


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _has_media(content: Any) -> bool:
    if not isinstance(content, list):
        return False
    return any(isinstance(part, dict) and str(part.get("type")).removesuffix("_url") in MEDIA for part in content)


def _invalid(faults: list[str], param: str | None) -> Refused:
    title = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''}:"
    return Refused(400, "Bad Request", "\n  ".join([title, *faults]), param)


def _brief(value: Any) -> str:
    return f"<{type(value).__name__} of {len(value)} items>" if isinstance(value, dict | list) else str(value)
