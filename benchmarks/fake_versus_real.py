"""How close the fake is to a real vLLM, at the same pace.

    python -m benchmarks.fake_versus_real [--real-url http://127.0.0.1:8100/v1]

Without an address, a real vLLM is started on this CPU. Times are in milliseconds, as a bare socket
sees them.
"""

import argparse
import itertools
import json
import re
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx2
from rich.console import Console

from fake_vllm.testing import FakeVllm
from stream_lab.experiment.witness import read_metrics
from stream_lab.http.client import direct_client
from stream_lab.processes.backends import VLLM, RealServer
from stream_lab.processes.backends.release_table import bare_chat
from tests.fake_vllm.golden_check import CASES, problems, send

STREAMS = 20  # for the first token
TOKENS = 300  # of each of three streams, for the gaps
CUTS = 10
QUESTION = "Tell me a story."


@dataclass
class Measured:
    """One server, with every value in milliseconds, so that a row can show the spread."""

    first_token: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    freed_stream: list[float] = field(default_factory=list)
    freed_whole: list[float] = field(default_factory=list)
    tokens_after_stream: list[float] = field(default_factory=list)
    tokens_after_whole: list[float] = field(default_factory=list)
    finished: dict[str, float] = field(default_factory=dict)
    wire: str = ""


def measure(url: str, model: str, *, wire: bool = True) -> Measured:
    """Measure a server that has no other clients."""
    found = Measured()
    for _ in range(STREAMS):
        found.first_token.append(_arrivals(url, model, 1)[0])
    for _ in range(3):
        at = _arrivals(url, model, TOKENS)
        found.gap += [later - earlier for earlier, later in itertools.pairwise(at)]
    before = _finished(url)
    for _ in range(CUTS):
        for stream, freed, after in (
            (True, found.freed_stream, found.tokens_after_stream),
            (False, found.freed_whole, found.tokens_after_whole),
        ):
            seconds, tokens = _cut(url, model, stream=stream)
            freed.append(seconds)
            after.append(tokens)
    found.finished = {reason: count - before[reason] for reason, count in _finished(url).items()}
    if wire:
        cases = [json.loads(path.read_text(encoding="utf-8")) for path in CASES]
        counted = [
            case for case in cases if case["server"] == "default" and not case.get("advisory")
        ]
        good = sum(
            not problems(case, send(url.removesuffix("/v1"), case["request"])) for case in counted
        )
        found.wire = f"{good} of {len(counted)}"
    return found


def _body(model: str, tokens: int, *, stream: bool) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    return {**body, "max_tokens": tokens, "ignore_eos": True, "temperature": 0.9}


def _arrivals(url: str, model: str, tokens: int) -> list[float]:
    """Return when each token's event came, in milliseconds since the request.

    Events in one packet came at once.
    """
    began, at, text = time.monotonic(), [], b""
    with bare_chat(url, _body(model, tokens, stream=True)) as connection:
        while b"data: [DONE]" not in text:
            data = connection.recv(65536)
            text += data
            at += [(time.monotonic() - began) * 1000] * len(
                re.findall(rb'"delta":\{"content":', data)
            )
    return at


def _cut(url: str, model: str, *, stream: bool) -> tuple[float, float]:
    """Return the milliseconds from the disconnect until nothing runs, and the tokens until then."""
    with direct_client(timeout=10) as client:

        def look() -> dict[str, float]:
            return read_metrics(client.get(url.removesuffix("/v1") + "/metrics").text)

        with bare_chat(url, _body(model, 5000, stream=stream)) as connection:
            received = 0
            end = time.monotonic() + 1.0
            connection.settimeout(0.02)
            while time.monotonic() < end and received < 5:
                try:
                    received += (
                        connection.recv(65536).count(b'"delta":{"content":')
                        if stream
                        else len(connection.recv(1))
                    )
                except TimeoutError:
                    continue
            before = look()
            assert before["vllm:num_requests_running"] == 1, "another client is using this server"
        closed = time.monotonic()
        while look()["vllm:num_requests_running"]:
            assert time.monotonic() < closed + 20, "it was not freed"
        seconds = time.monotonic() - closed
        time.sleep(0.3)
        return seconds * 1000, look()["vllm:generation_tokens_total"] - before[
            "vllm:generation_tokens_total"
        ]


def _finished(url: str) -> dict[str, float]:
    page = httpx2.get(url.removesuffix("/v1") + "/metrics", trust_env=False, timeout=10).text
    found = re.findall(
        r'^vllm:request_success_total\{.*?finished_reason="(\w+)".*?\} (\S+)', page, re.MULTILINE
    )
    return {reason: float(count) for reason, count in found}


def _told(values: list[float]) -> str:
    ordered = sorted(values)
    return (
        f"{statistics.median(ordered):.1f} ({ordered[int(0.95 * (len(ordered) - 1))]:.1f}; "
        f"{ordered[-1]:.1f})"
    )


def table(real: Measured, fake: Measured) -> str:
    """Return a Markdown table: median, and in brackets 95 % quantile and maximum."""
    rows: list[tuple[str, Any, Any]] = [
        (name, _told(getattr(real, key)), _told(getattr(fake, key)))
        for name, key in (
            ("first token, ms", "first_token"),
            ("token to token, ms", "gap"),
            ("a stream is cut: until nothing runs, ms", "freed_stream"),
            ("a whole answer is cut: until nothing runs, ms", "freed_whole"),
            ("tokens counted after a stream's cut", "tokens_after_stream"),
            ("tokens counted after a whole answer's cut", "tokens_after_whole"),
        )
    ]
    moved = [
        ", ".join(f"{reason} +{count:.0f}" for reason, count in each.finished.items() if count)
        or "none"
        for each in (real, fake)
    ]
    rows += [
        (f"which `request_success_total` moved in {2 * CUTS} cuts", moved[0], moved[1]),
        ("transcripts matched (server without flags)", real.wire, fake.wire),
    ]
    return "\n".join(
        [
            "| | real vLLM | fake |",
            "|---|---|---|",
            *(f"| {name} | {a} | {b} |" for name, a, b in rows),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real-url", help="the address of a vLLM without other clients")
    given = parser.parse_args()
    with ExitStack() as stack:
        url = given.real_url or stack.enter_context(RealServer(VLLM, Console(stderr=True))).url
        model = httpx2.get(f"{url}/models", trust_env=False, timeout=10).json()["data"][0]["id"]
        real = measure(url, model)
    first, gap = statistics.median(real.first_token), statistics.median(real.gap)
    with FakeVllm("finite", gap=gap / 1000, first_token_ms=f"{first:.1f}", model=model) as fake:
        print(table(real, measure(fake.base_url, model)))
    print(
        f"\nThe fake was set to --first-token-ms {first:.1f} --gap-ms {gap:.1f}, the real one's "
        "medians."
    )


if __name__ == "__main__":
    main()
