"""The counters that tell from outside whether a GPU is busy, under vLLM's own names.

As on a real vLLM, a request whose client left moves none of the `request_success_total` series, not even `abort`:
look at `num_requests_running`, and at whether `generation_tokens_total` stands still.
"""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = b"text/plain; version=1.0.0; charset=utf-8"
REASONS = ("stop", "length", "abort", "error", "repetition")


class Metrics:
    """One server's `/metrics`."""

    def __init__(self, model: str) -> None:
        self._registry = CollectorRegistry()
        labels = ["engine", "model_name"]

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"vllm:{name}", text, labels, registry=self._registry).labels("0", model)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"vllm:{name}", text, labels, registry=self._registry).labels("0", model)

        self.running = gauge("num_requests_running", "Number of requests in model execution batches.")
        self.waiting = gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        self.prompt_tokens = counter("prompt_tokens", "Number of prefill tokens processed.")
        self.generation_tokens = counter("generation_tokens", "Number of generation tokens processed.")
        success = Counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            [*labels, "finished_reason"],
            registry=self._registry,
        )
        self._success = {reason: success.labels("0", model, reason) for reason in REASONS}

    def finished(self, reason: Literal["stop", "length"]) -> None:
        self._success[reason].inc()

    def page(self) -> bytes:
        return generate_latest(self._registry)
