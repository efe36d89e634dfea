"""Requests of `/invocations`, SageMaker's route for chats and completions alike."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from fake_vllm.api.accepted_request import AcceptedRequest, refusing
from fake_vllm.api.body import check_content_type
from fake_vllm.api.chat import chat
from fake_vllm.api.completions import completion
from fake_vllm.api.refused import Refused, bad
from fake_vllm.api.server_rules import Rules

Accept: TypeAlias = Callable[[Rules, str, bytes, str | None], AcceptedRequest]
KINDS: dict[str, Accept] = {"ChatCompletionRequest": chat, "CompletionRequest": completion}
INVALID = "Bad Request"
"""The type of an error that pydantic found; vLLM then tries the next kind."""


def invocation(
    rules: Rules, content_type: str, body: bytes, request_id: str | None
) -> AcceptedRequest:
    """Accept a chat or a completion, whichever fits; its `model` is ignored, as on vLLM.

    Args:
        rules: the server's rules.
        content_type: the header Content-Type. Empty: there is none.
        body: the bytes of the body.
        request_id: the header X-Request-Id. None: there is none.

    Raises:
        Refused: the body fits neither.
    """
    check_content_type(content_type)
    named_none = refusing(lambda: _without_model(body))
    for accept in KINDS.values():
        try:
            return accept(rules, content_type, named_none, request_id)
        except Refused as refused:
            if refused.body["error"]["type"] != INVALID:
                raise
    raise bad(f"Cannot find suitable handler for request. Expected one of: {list(KINDS)}")


def _without_model(body: bytes) -> bytes:
    """Return the body without a model's name.

    Raises:
        Refused: it is not JSON.
        TypeError: it is not an object; vLLM's error has Python's words, too.
    """
    try:
        value: Any = json.loads(body)
    except json.JSONDecodeError as error:
        raise Refused(400, INVALID, f"JSON decode error: {error}") from None
    _ = "requestType" in value
    value["model"] = None
    return json.dumps(value).encode()
