"""Write JSON and events as vLLM 0.32 does: compact, UTF-8 not escaped, one event per HTTP chunk.

Transcripts in tests/fake_vllm/golden prove it.

Keys differ by kind of event: only the finish event has `stop_reason` in a chat, only the role event has `prompt_token_ids`, and
`system_fingerprint` sits in the last event that holds JSON.
"""

import json
from typing import Any, Final
from uuid import uuid4

VERSION: Final = "0.32.0"
FINGERPRINT: Final = f"vllm-{VERSION}-900574a6"
DONE: Final = b"data: [DONE]\n\n"


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def event(value: Any) -> bytes:
    """One SSE event; vLLM sends each in an HTTP chunk of its own."""
    return b"data: " + dumps(value) + b"\n\n"


def error_event(body: dict[str, Any]) -> bytes:
    """An error inside a stream: the one JSON that vLLM writes with spaces, and escaped."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def hex16() -> str:
    """The random part of ids: 16 hexadecimal digits."""
    return uuid4().hex[:16]


def usage(prompt: int, completion: int) -> dict[str, Any]:
    """Token counts of an answer, as far as a stream has them."""
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }


def events(data: bytes) -> list[bytes]:
    """Split bytes into SSE events: each travels in an HTTP chunk of its own."""
    return [part + b"\n\n" for part in data.split(b"\n\n")[:-1]]
