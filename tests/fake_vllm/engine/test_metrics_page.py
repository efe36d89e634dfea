"""The page `/metrics` of known counters, line by line."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from fake_vllm.engine import http_metrics
from fake_vllm.engine.metrics import REASONS, REJECTIONS, Metrics
from fake_vllm.engine.metrics_page import render

EXPECTED = Path(__file__).parent / "metrics_page.txt"
BUCKETS = Path(__file__).parent / "metrics_buckets.json"
"""The bounds of each histogram on the page of a real vLLM 0.32 with --max-model-len 32768."""


def counted(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """Counters of which each has another value."""
    monkeypatch.setattr(http_metrics, "monotonic", lambda: 100.0)
    metrics = Metrics(max_model_len=1000)
    metrics.created = 1700000000.0
    metrics.running, metrics.waiting, metrics.prefilling = 2, 3, 4
    metrics.prompt_tokens, metrics.generation_tokens = 50, 60
    for number, (reason, tokens) in enumerate(zip(REASONS, (1, 2, 30, 400, 1000), strict=True)):
        times = {"arrived": 1.0, "queued": 1.25, "started": 2.0, "first_token": 2.5}
        last = 2.5 + number
        entry = SimpleNamespace(**times, last_token=last, tokens=tokens, prompt_tokens=7)
        metrics.request_finished(entry, reason)
    metrics.finished["stop"] += 5
    for number, reason in enumerate(REJECTIONS):
        metrics.rejected[reason] = 8 + number
    metrics.time_to_first_token.observe(0.03)
    metrics.inter_token_latency.observe(0.02)
    metrics.params_n.observe(1)
    metrics.params_max_tokens.observe(16)
    metrics.http.over("/v1/models", "GET", 200, 99.0, 0, 300)
    metrics.http.over("/v1/chat/completions", "POST", 429, 99.75, 40, 20)
    metrics.http.over("/v1/chat/completions", "POST", 204, 98.0, 50, 0)
    return metrics


def samples(page: str) -> dict[str, float]:
    """The values by name and labels, in whichever order prometheus_client writes them."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, number = line.rsplit(" ", 1)
            labels = sorted(re.findall(r'(\w+="[^"]*")', name))
            found[f"{name.partition('{')[0]}{labels}"] = float(number)
    return found


def test_each_counter_is_where_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = render(counted(monkeypatch), model="tiny", slots=8).decode()
    expected = EXPECTED.read_text(encoding="utf-8")
    assert samples(page) == samples(expected)
    types = re.compile(r"^# TYPE .*", re.MULTILINE)
    assert types.findall(page) == types.findall(expected)


@pytest.mark.parametrize(("running", "usage"), [(0, 0.0), (2, 0.5), (4, 1.0), (9, 1.0)])
def test_the_stand_in_for_the_kv_cache_is_full_with_all_slots(running: int, usage: float) -> None:
    metrics = Metrics(max_model_len=8)
    metrics.running = running
    page = render(metrics, model="tiny", slots=4).decode()
    assert f'vllm:kv_cache_usage_perc{{engine="0",model_name="tiny"}} {usage}' in page


@pytest.mark.parametrize(
    ("longest", "bounds"),
    [(1, [1]), (4, [1, 2]), (5, [1, 2, 5]), (100, [1, 2, 5, 10, 20, 50, 100])],
)
def test_buckets_of_tokens_end_with_the_longest_context(longest: int, bounds: list[int]) -> None:
    assert list(Metrics(max_model_len=longest).params_max_tokens.bounds) == bounds


def test_each_histogram_has_the_bounds_of_a_real_vllm() -> None:
    metrics = Metrics(max_model_len=32768)
    metrics.http.over("/v1/chat/completions", "POST", 200, 0.0, 0, 0)
    page = render(metrics, model="tiny", slots=8).decode()
    found: dict[str, list[str]] = {}
    for name, bound in re.findall(r'^(\S+?)_bucket\{.*?le="([^"]+)"', page, re.MULTILINE):
        found.setdefault(name, []).append(bound)
    assert found == json.loads(BUCKETS.read_text(encoding="utf-8"))
