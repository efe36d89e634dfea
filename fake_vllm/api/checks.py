"""Checks of raw bodies that several kinds of requests share, in vLLM's words."""

from collections.abc import Mapping
from typing import Any

from fake_vllm.api.body import Body, Rejected

_SALT_LENGTH, _SALT_FORBIDDEN = 128, frozenset("@/\\\x00")


class StreamOptions(Body):
    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


def check_stream_options(data: Mapping[str, Any]) -> None:
    if data.get("stream_options") and not data.get("stream"):
        raise Rejected("Stream options can only be defined when `stream=True`.", "stream_options")


def check_cache_salt(salt: object) -> None:
    if salt is None:
        return
    if not isinstance(salt, str) or not salt:
        raise Rejected(
            "Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt"
        )
    if len(salt) > _SALT_LENGTH or _SALT_FORBIDDEN & set(salt):
        text = (
            f"Parameter 'cache_salt' must be at most {_SALT_LENGTH} characters and must not "
            "contain '@', '/', '\\\\', or NUL."
        )
        raise Rejected(text, "cache_salt")


def check_logprobs(data: Mapping[str, Any], name: str) -> None:
    """Raise `Rejected` for wrong fields about log-probabilities.

    Args:
        data: the raw body.
        name: the field with their number: "top_logprobs" in a chat, where `logprobs` turns them on,
            or "logprobs".
    """
    chat = name == "top_logprobs"
    if data.get("logprob_token_ids"):
        _check_named_ids(data, chat=chat)
    for field in ("prompt_logprobs", name):
        value = data.get(field)
        if value is not None and not isinstance(value, int | float):
            raise Rejected(f"`{field}` must be an integer.", field, value)
    if (wanted := data.get("prompt_logprobs")) is not None:
        if data.get("stream") and (wanted > 0 or wanted == -1):
            raise Rejected(
                "`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs"
            )
        if wanted < 0 and wanted != -1:
            raise Rejected(
                "`prompt_logprobs` must be a positive value or -1.", "prompt_logprobs", wanted
            )
    if (wanted := data.get(name)) is not None:
        if wanted < 0 and wanted != -1:
            raise Rejected(f"`{name}` must be a positive value or -1.", name, wanted)
        if chat and (wanted == -1 or wanted > 0) and not data.get("logprobs"):
            raise Rejected("when using `top_logprobs`, `logprobs` must be set to true.", name)


def _check_named_ids(data: Mapping[str, Any], *, chat: bool) -> None:
    if data.get("use_beam_search"):
        raise Rejected(
            "`logprob_token_ids` is not supported with beam search.", "logprob_token_ids"
        )
    if not chat and data.get("echo") and data.get("max_tokens") == 0:
        text = (
            "`logprob_token_ids` is not supported when `echo=True` and `max_tokens=0` because no "
            "output tokens are generated."
        )
        raise Rejected(text, "logprob_token_ids")
    if chat and not data.get("logprobs"):
        raise Rejected(
            "when using `logprob_token_ids`, `logprobs` must be set to true.", "logprob_token_ids"
        )
    if not chat and data.get("logprobs") is None:
        raise Rejected(
            "when using `logprob_token_ids`, `logprobs` must be set.", "logprob_token_ids"
        )


def check_template(template: str | None, options: Mapping[str, Any] | None) -> None:
    """Raise `Rejected` for a template in the request, which vLLM trusts only by a flag."""
    if template is not None or (options and options.get("chat_template") is not None):
        text = "Chat template is passed with request, but --trust-request-chat-template is not set."
        raise Rejected(f"{text} Refused request with untrusted chat template.")


def check_media(body: Any) -> None:
    """Raise `Rejected` for settings of media, which vLLM trusts only by a flag."""
    trusted = "Start the server with --trust-request-mm-kwargs only when clients are trusted."
    if body.mm_processor_kwargs:
        text = (
            "Per-request mm_processor_kwargs are disabled by default because they can change "
            "multimodal preprocessing resource usage."
        )
        raise Rejected(f"{text} {trusted}", "mm_processor_kwargs")
    if body.media_io_kwargs:
        text = (
            "Per-request media_io_kwargs are disabled by default because they can change "
            "multimodal media loading resource usage."
        )
        raise Rejected(f"{text} {trusted}", "media_io_kwargs")
