"""The page `/metrics`, as vLLM 0.32 writes it: the same families, types and labels.

Features that the fake lacks (a prefix cache, preemptions, flops) are present and stay 0, so that
dashboards find them.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from fake_vllm.engine import http_metrics_page
from fake_vllm.engine.histogram import Histogram
from fake_vllm.engine.metrics import Metrics

CONTENT_TYPE = b"text/plain; version=1.0.0; charset=utf-8"
MOUNTED_CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
"""That of HEAD and of `/metrics/`, which another part of vLLM answers."""
STEPS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")
CACHE_SOURCES = ("device", "host", "disk", "p2p", "external_unspecified")
CACHE_CONFIG = (
    "_block_size_resolved block_size cache_dtype cache_hit_alignment_tokens "
    "effective_attention_block_size "
    "enable_mamba_shared_prefix_checkpoint enable_prefix_caching gpu_memory_utilization "
    "hash_block_size is_attention_free "
    "kv_cache_dtype_skip_layers kv_cache_layout kv_cache_max_concurrency kv_cache_memory_bytes "
    "kv_cache_size_tokens "
    "kv_offloading_backend kv_offloading_size kv_sharing_fast_prefill mamba_block_size "
    "mamba_cache_dtype mamba_cache_mode "
    "mamba_page_size_padded mamba_ssm_cache_dtype num_cpu_blocks num_gpu_blocks "
    "num_gpu_blocks_override "
    "prefix_cache_retention_interval prefix_caching_hash_algo prefix_match_unit "
    "replayssm_buffer_len skip_page_size_padded "
    "sliding_window swa_bounded_replay use_kda_recoverssm use_replayssm user_specified_block_size"
).split()


def render(metrics: Metrics, *, model: str, slots: int) -> bytes:
    """Return the page in Prometheus' text format.

    Args:
        metrics: the counters.
        model: the name of the model, for the labels.
        slots: how many sequences can run at once.
    """
    registry = CollectorRegistry()
    registry.register(_Page(metrics, model, slots))
    return generate_latest(registry)


class _Page:
    def __init__(self, metrics: Metrics, model: str, slots: int) -> None:
        self._metrics = metrics
        self._labels = {"engine": "0", "model_name": model}
        self._slots = slots

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()
        yield from http_metrics_page.families(self._metrics.http, self._metrics.created)

    def _gauges(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield self._gauge("num_requests_running", "Requests in the batch.", metrics.running)
        yield self._gauge("num_requests_waiting", "Requests that wait for a slot.", metrics.waiting)
        by_reason = {"capacity": metrics.waiting, "deferred": 0}
        yield self._gauge(
            "num_requests_waiting_by_reason", "The same by reason.", by_reason, "reason"
        )
        asleep = {"awake": 1, "weights_offloaded": 0, "discard_all": 0}
        yield self._gauge(
            "engine_sleep_state",
            "Whether the engine is awake; it always is.",
            asleep,
            "sleep_state",
        )
        usage = min(1.0, metrics.running / self._slots)
        yield self._gauge(
            "kv_cache_usage_perc",
            "Slots in use, from 0 to 1: the fake's stand-in for its KV cache.",
            usage,
        )
        config = GaugeMetricFamily(
            "vllm:cache_config_info",
            "Settings of a cache that the fake does not have.",
            labels=["engine", *CACHE_CONFIG],
        )
        config.add_metric(["0", *("None" for _ in CACHE_CONFIG)], 1)
        yield config

    def _counters(self) -> Iterator[Metric]:
        metrics = self._metrics
        for name, text in {
            "prefix_cache_queries": "Prompt tokens looked up in the prefix cache.",
            "prefix_cache_hits": "Prompt tokens found there.",
            "external_prefix_cache_queries": "Prompt tokens looked up in other instances.",
            "external_prefix_cache_hits": "Prompt tokens found there.",
            "mm_cache_queries": "Media looked up in their cache.",
            "mm_cache_hits": "Media found there.",
            "num_preemptions": "Requests that were preempted by others.",
            "prompt_tokens_cached": "Prompt tokens that came from a cache.",
            "estimated_flops_per_gpu": "Floating-point operations.",
            "estimated_read_bytes_per_gpu": "Bytes read.",
            "estimated_write_bytes_per_gpu": "Bytes written.",
        }.items():
            yield self._counter(name, text, 0)
        yield self._counter(
            "prompt_tokens", "Prompt tokens of started requests.", metrics.prompt_tokens
        )
        by_source = {
            source: metrics.prompt_tokens if source == SOURCES[0] else 0 for source in SOURCES
        }
        yield self._counter("prompt_tokens_by_source", "The same by source.", by_source, "source")
        cached = dict.fromkeys(CACHE_SOURCES, 0)
        yield self._counter(
            "prompt_tokens_cached_by_source",
            "Prompt tokens that came from a cache, by its kind.",
            cached,
            "source",
        )
        yield self._counter("generation_tokens", "Tokens made.", metrics.generation_tokens)
        success = "Answers that came to their end; those whose client disconnected are not counted."
        yield self._counter("request_success", success, metrics.finished, "finished_reason")
        rejections = CounterMetricFamily(
            "vllm:admission_rejections",
            "Requests refused by a full queue.",
            labels=["model_name", "reason"],
        )
        for reason, count in metrics.rejected.items():
            rejections.add_metric(
                [self._labels["model_name"], reason], count, created=metrics.created
            )
        yield rejections

    def _histograms(self) -> Iterator[Metric]:
        metrics = self._metrics
        for name, histogram in {
            "e2e_request_latency_seconds": metrics.e2e,
            "time_to_first_token_seconds": metrics.time_to_first_token,
            "inter_token_latency_seconds": metrics.inter_token_latency,
            "request_time_per_output_token_seconds": metrics.time_per_output_token,
            "request_queue_time_seconds": metrics.queue,
            "request_prefill_time_seconds": metrics.prefill,
            "request_decode_time_seconds": metrics.decode,
            "request_inference_time_seconds": metrics.inference,
            "request_prompt_tokens": metrics.request_prompt_tokens,
            "request_generation_tokens": metrics.request_generation_tokens,
            "request_max_num_generation_tokens": metrics.max_num_generation_tokens,
            "request_params_n": metrics.params_n,
            "request_params_max_tokens": metrics.params_max_tokens,
            "request_prefill_kv_computed_tokens": metrics.request_prompt_tokens,
            "request_num_preemptions": Histogram((1, 2, 3, 4, 5, 10, 20)),
            "iteration_tokens_total": Histogram(STEPS),
        }.items():
            yield self._histogram(name, histogram)

    def _gauge(
        self, name: str, text: str, value: float | Mapping[str, float], label: str | None = None
    ) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", text, labels=self._names(label))
        for more, number in _by_label(value).items():
            family.add_metric([*self._values(), *more], number)
        return family

    def _counter(
        self, name: str, text: str, value: float | Mapping[str, float], label: str | None = None
    ) -> Metric:
        family = CounterMetricFamily(f"vllm:{name}", text, labels=self._names(label))
        for more, number in _by_label(value).items():
            family.add_metric([*self._values(), *more], number, created=self._metrics.created)
        return family

    def _histogram(self, name: str, histogram: Histogram) -> Metric:
        text = f"Histogram of {name.replace('_', ' ')}."
        family = HistogramMetricFamily(f"vllm:{name}", text, labels=self._names(None))
        family.add_metric(self._values(), histogram.buckets(), histogram.total)
        family.add_sample(f"{family.name}_created", self._labels, self._metrics.created)
        return family

    def _names(self, label: str | None) -> list[str]:
        return [*self._labels, *([label] if label else [])]

    def _values(self) -> list[str]:
        return list(self._labels.values())


def _by_label(value: float | Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return (
        {(key,): number for key, number in value.items()}
        if isinstance(value, Mapping)
        else {(): value}
    )
