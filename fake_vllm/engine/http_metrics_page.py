"""The families `http_*` of the page `/metrics`."""

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from fake_vllm.engine.http_metrics import HttpMetrics


def families(metrics: HttpMetrics, created: float) -> Iterator[Metric]:
    """Yield the families.

    Args:
        metrics: the counters.
        created: when they began, in seconds since the epoch.
    """
    requests = CounterMetricFamily(
        "http_requests",
        "Requests by method, status and handler.",
        labels=["handler", "method", "status"],
    )
    for labels, count in metrics.requests.items():
        requests.add_metric(labels, count, created=created)
    yield requests
    for name, text, sizes in (
        ("http_request_size_bytes", "Content-Length of requests.", metrics.received),
        ("http_response_size_bytes", "Content-Length of answers.", metrics.sent),
    ):
        summary = SummaryMetricFamily(name, text, labels=["handler"])
        for handler, size in sizes.items():
            summary.add_metric([handler], size.count, size.bytes)
            summary.add_sample(f"{name}_created", {"handler": handler}, created)
        yield summary
    name = "http_request_duration_highr_seconds"
    all_ = HistogramMetricFamily(name, "Seconds to the end of the answer, in many buckets.")
    all_.add_metric([], metrics.seconds.buckets(), metrics.seconds.total)
    all_.add_sample(f"{name}_created", {}, created)
    yield all_
    name = "http_request_duration_seconds"
    text = "Seconds to the end of the answer, by handler."
    by_handler = HistogramMetricFamily(name, text, labels=["handler", "method"])
    for (handler, method), seconds in metrics.seconds_by_handler.items():
        by_handler.add_metric([handler, method], seconds.buckets(), seconds.total)
        labels_ = {"handler": handler, "method": method}
        by_handler.add_sample(f"{name}_created", labels_, created)
    yield by_handler
