"""`/metrics` has the metric families of vLLM 0.32, and they change as on vLLM."""

import json
import re
from pathlib import Path

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import ask, read

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics_all.json"


def page(fake: FakeVllm) -> str:
    return httpx2.get(f"{fake.root}/metrics", trust_env=False).text


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of this name that has these labels."""
    lines = [line for line in text.splitlines() if line.startswith(f"vllm:{name}{{")]
    [line] = [
        line for line in lines if all(f'{key}="{label}"' in line for key, label in labels.items())
    ]
    return float(line.split()[-1])


def test_every_family_of_the_real_vllm_is_there_with_its_type_and_labels() -> None:
    with FakeVllm(model="tiny") as fake:
        text = page(fake)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE))
    for name, (kind, labels) in json.loads(GOLDEN.read_text())["response"]["families"].items():
        assert types[name] == kind
        sample = re.search(rf"^{re.escape(name)}(?:_bucket)?\{{(.*?)\}} ", text, re.MULTILINE)
        assert sample is not None
        assert [label for label in re.findall(r'(\w+)="', sample[1]) if label != "le"] == labels


def test_a_finished_answer_moves_counters_and_histograms() -> None:
    with FakeVllm("finite:tokens=3", gap=0.02, first_token_ms=60) as fake:
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
        answer = httpx2.post(f"{fake.base_url}/chat/completions", json=body, trust_env=False).json()
        text = page(fake)
    assert value(text, "request_success_total", finished_reason="stop") == 1
    assert value(text, "generation_tokens_total") == answer["usage"]["completion_tokens"] == 4
    assert value(text, "prompt_tokens_total") == answer["usage"]["prompt_tokens"]
    assert (
        value(text, "prompt_tokens_by_source_total", source="local_compute")
        == answer["usage"]["prompt_tokens"]
    )
    for name in (
        "e2e_request_latency_seconds",
        "time_to_first_token_seconds",
        "request_params_n",
        "request_params_max_tokens",
    ):
        assert value(text, f"{name}_count") == 1
    assert value(text, "inter_token_latency_seconds_count") == 3
    assert 0.055 < value(text, "time_to_first_token_seconds_sum") < 5
    assert value(text, "request_params_max_tokens_sum") == 50
    assert value(text, "time_to_first_token_seconds_bucket", le="0.04") == 0
    assert value(text, "e2e_request_latency_seconds_created") > 1.7e9


@pytest.mark.parametrize(("scenario", "body", "reason"), [
    ("finite:tokens=3", {"max_tokens": 2}, "length"),
    ("repeat:phrase=no ", {"repetition_detection": {"max_pattern_size": 8, "min_pattern_size": 1, "min_count": 3}}, "repetition"),
    ("abort:after=1", {}, "abort"),
])  # fmt: skip
def test_each_way_to_end_has_its_counter(
    scenario: str, body: dict[str, object], reason: str
) -> None:
    with FakeVllm(scenario, gap=0) as fake:
        chat = {"messages": [{"role": "user", "content": "Hi"}], **body}
        httpx2.post(
            f"{fake.base_url}/chat/completions", json=chat, trust_env=False
        ).raise_for_status()
        text = page(fake)
    reasons = {
        name: value(text, "request_success_total", finished_reason=name)
        for name in ("stop", "length", "repetition", "abort", "error")
    }
    assert reasons == {**dict.fromkeys(reasons, 0), reason: 1}


def test_an_answer_whose_client_disconnected_is_in_no_counter_and_makes_no_more_tokens() -> None:
    with FakeVllm("endless", gap=0.002) as fake:
        with ask(fake, "endless") as client:
            read(client, until=b"choices")
            assert value(page(fake), "num_requests_running") == 1
        fake.until_freed()
        before = page(fake)
        after = page(fake)
    assert value(before, "num_requests_running") == 0
    assert value(before, "generation_tokens_total") == value(after, "generation_tokens_total") > 0
    assert (
        sum(
            float(line.split()[-1])
            for line in after.splitlines()
            if line.startswith("vllm:request_success_total{")
        )
        == 0
    )
