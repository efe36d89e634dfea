"""JSON and events as vLLM 0.32 writes them: compact, UTF-8, one event per HTTP chunk.

Transcripts in tests/fake_vllm/golden prove it. The keys differ by the kind of event: in a chat,
only the finish event has `stop_reason` and only the role event has `prompt_token_ids`; the last
event with JSON has `system_fingerprint`.
"""

import json
from typing import Any, Final
from uuid import uuid4

DONE: Final = b"data: [DONE]\n\n"


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def event(value: Any) -> bytes:
    """Return one Server-Sent Event; vLLM sends each in its own HTTP chunk."""
    return b"data: " + dumps(value) + b"\n\n"


def error_event(body: dict[str, Any]) -> bytes:
    """Return an error inside a stream, which vLLM writes with spaces and escapes."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def hex16() -> str:
    """Return the random part of ids: 16 hexadecimal digits."""
    return uuid4().hex[:16]


def hex32() -> str:
    """Return 32 random hexadecimal digits."""
    return uuid4().hex


def usage(prompt: int, completion: int) -> dict[str, Any]:
    """Return the token counts of an answer, as far as a stream has them."""
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }


def events(data: bytes) -> list[bytes]:
    """Split bytes into Server-Sent Events; each goes into its own HTTP chunk."""
    return [part + b"\n\n" for part in data.split(b"\n\n")[:-1]]
