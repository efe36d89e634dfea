"""Counters for the engine's work; `metrics_page` writes them under vLLM's own names.

As on a real vLLM, a request whose client disconnects moves none of the `request_success_total`
series, not even `abort`. Watch `num_requests_running`, and whether `generation_tokens_total` stands
still.
"""

from time import time
from typing import Any

from fake_vllm.engine.histogram import Histogram
from fake_vllm.engine.http_metrics import HttpMetrics

REASONS = ("stop", "length", "abort", "error", "repetition")
REJECTIONS = ("max_num_queued_reqs", "max_num_queued_tokens")

# vLLM 0.32, vllm/v1/metrics/buckets.py; seconds where the name is a time.
FIRST_TOKEN = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
    2560.0,
)
BETWEEN_TOKENS = (
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)
LATENCY = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
    960.0,
    1920.0,
    7680.0,
)


class Metrics:
    """One server's counters, with times in seconds.

    Attributes:
        created: when the counters began, in seconds since the epoch.
        prefilling: prompt tokens of the requests that have no first token yet.
        http: the counters of HTTP requests.
    """

    def __init__(self, max_model_len: int) -> None:
        tokens = _one_two_five(max_model_len)
        self.created = time()
        self.running = 0
        self.waiting = 0
        self.prefilling = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = dict.fromkeys(REASONS, 0)
        self.rejected = dict.fromkeys(REJECTIONS, 0)
        self.time_to_first_token = Histogram(FIRST_TOKEN)
        self.inter_token_latency = Histogram(BETWEEN_TOKENS)
        self.time_per_output_token = Histogram(BETWEEN_TOKENS)
        self.e2e, self.queue, self.inference, self.prefill, self.decode = (
            Histogram(LATENCY) for _ in range(5)
        )
        self.request_prompt_tokens, self.request_generation_tokens = (
            Histogram(tokens),
            Histogram(tokens),
        )
        self.max_num_generation_tokens, self.params_max_tokens = (
            Histogram(tokens),
            Histogram(tokens),
        )
        self.params_n = Histogram((1, 2, 5, 10, 20))
        self.http = HttpMetrics()

    def request_finished(self, entry: Any, reason: str) -> None:
        """Count a response that came to its end."""
        self.finished[reason] += 1
        first, last, started = entry.first_token, entry.last_token, entry.started
        self.e2e.observe(last - entry.arrived)
        self.queue.observe(started - entry.queued)
        self.prefill.observe(first - started)
        self.decode.observe(last - first)
        self.inference.observe(last - started)
        if entry.tokens > 1:
            self.time_per_output_token.observe((last - first) / (entry.tokens - 1))
        self.request_prompt_tokens.observe(entry.prompt_tokens)
        self.request_generation_tokens.observe(entry.tokens)
        self.max_num_generation_tokens.observe(entry.tokens)


def _one_two_five(top: int) -> tuple[float, ...]:
    """Return 1, 2, 5, 10, 20 … up to `top`, as vLLM's token buckets."""
    steps, power = [], 1
    while power <= top:
        steps += [step * power for step in (1, 2, 5) if step * power <= top]
        power *= 10
    return tuple(steps)
