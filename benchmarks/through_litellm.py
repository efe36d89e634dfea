"""Which time-out ends an endless stream through LiteLLM, and whether its server rests.

`python benchmarks/through_litellm.py`
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from langchain_openai import ChatOpenAI
from rich.console import Console

from stream_deadline import ChatVllm
from stream_lab.experiment.fake import Fake
from stream_lab.processes.backends.litellm import litellm
from stream_lab.processes.backends.serve import RealServer

LIMIT = 2.0  # seconds
GIVE_UP = 12.0  # seconds after which a call counts as one that nothing ends


@dataclass(frozen=True)
class Way:
    """The place of the limit.

    Attributes:
        proxy: settings of the proxy's model.
        body: fields of the request.
        headers: headers of the request.
        caller: the client. None: a bare HTTP client.
    """

    name: str
    proxy: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    caller: Callable[..., Any] | None = None


WAYS = [
    Way("`ChatOpenAI(timeout=2)`", caller=ChatOpenAI),
    Way("`ChatVllm(timeout=2)`", caller=ChatVllm),
    Way("the request's `timeout: 2`", body={"timeout": LIMIT}),
    Way("the request's `stream_timeout: 2`", body={"stream_timeout": LIMIT}),
    Way("header `x-litellm-timeout: 2`", headers={"x-litellm-timeout": str(LIMIT)}),
    Way("header `x-litellm-stream-timeout: 2`", headers={"x-litellm-stream-timeout": str(LIMIT)}),
    Way("the proxy's `timeout: 2`", proxy={"timeout": LIMIT}),
    Way("the proxy's `stream_timeout: 2`", proxy={"stream_timeout": LIMIT}),
]


def _called(way: Way, proxy: RealServer, *, stream: bool) -> tuple[float, str]:
    """Return the seconds until the call was over, and what ended it."""
    question = "Why?"
    began = time.monotonic()
    try:
        if way.caller is not None:
            model = way.caller(
                model=proxy.model, base_url=proxy.url, api_key="none", timeout=LIMIT, max_retries=0
            )
            for _ in model.stream(question) if stream else [model.invoke(question)]:
                if time.monotonic() - began > GIVE_UP:
                    return GIVE_UP, "nothing"
            return time.monotonic() - began, "the end of the answer"
        body = {
            "model": proxy.model,
            "messages": [{"role": "user", "content": question}],
            "stream": stream,
            **way.body,
        }
        with (
            httpx2.Client(trust_env=False, timeout=GIVE_UP) as client,
            client.stream(
                "POST", f"{proxy.url}/chat/completions", json=body, headers=way.headers
            ) as answer,
        ):
            said = b""
            for data in answer.iter_raw():
                said = data
                if time.monotonic() - began > GIVE_UP:
                    return GIVE_UP, "nothing"
        return (
            time.monotonic() - began,
            f"status {answer.status_code}" if answer.status_code != 200 else _last(said),
        )
    except Exception as error:
        seconds = time.monotonic() - began
        return (GIVE_UP, "nothing") if seconds >= GIVE_UP else (seconds, type(error).__name__)


def _last(said: bytes) -> str:
    return "an error event" if b'"error"' in said else "the end of the stream"


def _freed(fake: Fake, since: float) -> str:
    """Return the fake's record of its newest request, a moment later."""
    time.sleep(1.0)
    entry = fake.requests[-1]
    if entry.slot_freed is None:
        return "**works on**"
    return f"free after {max(0.0, entry.slot_freed - since):.1f} s"


def main() -> None:
    console = Console(stderr=True)
    print(
        "| where the limit is set | a stream ends after | the server | a whole answer ends after "
        "| the server |\n|---|---|---|---|---|"
    )
    for way in WAYS:
        cells = []
        with (
            Fake("endless", gap=0.05) as fake,
            RealServer(litellm(fake.base_url, fake.model, **way.proxy), console) as proxy,
            console.status(way.name),
        ):
            for stream in (True, False):
                began = time.monotonic()
                seconds, why = _called(way, proxy, stream=stream)
                ended = "**nothing ends it**" if why == "nothing" else f"{seconds:.1f} s, {why}"
                cells += [ended, _freed(fake, began)]
        print(f"| {way.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
