"""Tracing that patches the OpenAI SDK records the same for `ChatVllm` as for `ChatOpenAI`."""

import json
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.stream_deadline.instrumented import CONTENT, TRACINGS

NEEDS = {
    "traceloop": "opentelemetry.instrumentation.openai",
    "openinference": "openinference.instrumentation.openai",
    "sentry": "sentry_sdk",
}
CHANGING = (
    "response.id",
    "server.port",
    "api_base",
    "base_url",
    "gen_ai.response.id",
    "segment.id",
    "time",
    "thread",
    "duration",
)


def there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@cache
def traced(tracing: str) -> dict[str, Any]:
    if not there(NEEDS[tracing]):
        pytest.skip(f"{NEEDS[tracing]} is not installed; it comes with the extra `instrumented`")
    program = ["-m", "tests.stream_deadline.instrumented", tracing]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def steady(spans: list[Any]) -> list[Any]:
    """Remove what differs between runs, or on purpose between the two classes."""
    return [
        [
            name,
            {
                key: value
                for key, value in (data or {}).items()
                if not any(each in key for each in CHANGING)
            },
        ]
        for name, data in spans
    ]


@pytest.mark.parametrize("age", ["older", "newer"])
@pytest.mark.parametrize("call", ["stream", "astream", "invoke", "ainvoke"])
@pytest.mark.parametrize("tracing", TRACINGS)
def test_tracing_records_the_same_for_chat_vllm_as_for_chat_openai(
    tracing: str, call: str, age: str
) -> None:
    """Whether the model is older than the tracing or newer."""
    said = traced(tracing)
    ours, theirs = (said[f"{kind} {age} {call}"] for kind in ("ChatVllm", "ChatOpenAI"))
    assert ours["content"] == theirs["content"]
    assert theirs["spans"], "the tracing traces nothing at all here"
    assert steady(ours["spans"]) == steady(theirs["spans"])
    if "stream" in call:
        assert CONTENT in json.dumps(ours["spans"])
