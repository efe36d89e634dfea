"""Which requests are counted."""

import pytest

from fake_vllm.engine.http_metrics import HttpMetrics

QUIET = ["/metrics", "/health", "/load", "/ping", "/version", "/server_info"]


@pytest.mark.parametrize("path", QUIET)
def test_requests_about_the_server_are_not_counted(path: str) -> None:
    assert not HttpMetrics.counts(path, path)
    assert not HttpMetrics.counts(path, "none")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/tokenize"])
def test_requests_for_the_model_are_counted(path: str) -> None:
    assert HttpMetrics.counts(path, path)
    assert HttpMetrics.counts(path, "none")
    assert HttpMetrics.counts("/metrics", path), "the handler is named, not the path"
