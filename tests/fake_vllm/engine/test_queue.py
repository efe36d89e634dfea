"""Slots, the queue before them, the engine's clocks, and disconnects."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import arrivals, ask, read

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


@contextmanager
def holding(fake: FakeVllm, count: int) -> Iterator[None]:
    """So many requests that stream without end."""
    with ExitStack() as stack:
        for _ in range(count):
            read(
                stack.enter_context(ask(fake, "endless")),
                until=b"choices" if count == 1 else b"200",
            )
        yield


def gauge(fake: FakeVllm, name: str) -> float:
    page = httpx2.get(f"{fake.root}/metrics", trust_env=False).text
    return float(
        next(line for line in page.splitlines() if line.startswith(f"vllm:{name}{{")).split()[-1]
    )


def test_one_slot_serves_one_request_and_the_next_waits_its_turn() -> None:
    with FakeVllm("endless", max_num_seqs=1) as fake:
        with ask(fake, "endless") as first:
            read(first, until=b"choices")
            with ask(fake, "endless") as second:
                head, _ = read(second, until=b"\r\n\r\n")
                assert head.startswith(
                    b"HTTP/1.1 200"
                )  # headers do not wait for a slot, as on vLLM
                assert (
                    gauge(fake, "num_requests_running"),
                    gauge(fake, "num_requests_waiting"),
                ) == (1, 1)
                assert fake.requests[-1].started is None
                first.close()
                waited = fake.until_started()
                assert waited.number == 2
                assert any(b"choices" in data for _, data in arrivals(second, until=b"choices"))
        assert fake.wait_for(lambda entry: entry.number == 2 and entry.over).slot_freed is not None
        assert (gauge(fake, "num_requests_running"), gauge(fake, "num_requests_waiting")) == (0, 0)


def test_the_queue_keeps_the_order_of_arrival() -> None:
    with FakeVllm("finite:tokens=3", gap=0.02, max_num_seqs=1) as fake, ExitStack() as stack:
        clients = []
        for _ in range(4):
            clients.append(stack.enter_context(ask(fake, "finite:tokens=3")))
            time.sleep(0.01)
        for client in clients:
            read(client, until=b"0\r\n\r\n")
        starts = [entry.started for entry in fake.requests]
        assert starts == sorted(starts)  # type: ignore[type-var]
        freed = [entry.slot_freed for entry in fake.requests]
        assert all(later >= earlier for later, earlier in zip(starts[1:], freed, strict=False))  # type: ignore[operator]


def test_a_client_that_disconnects_in_the_queue_gets_no_slot() -> None:
    with FakeVllm("endless", max_num_seqs=1) as fake, holding(fake, 1):
        with ask(fake, "endless") as waiting:
            read(waiting, until=b"\r\n\r\n")
        left = fake.wait_for(lambda entry: entry.end == "client left")
        assert (left.started, left.slot_freed) == (None, None)
        assert gauge(fake, "num_requests_waiting") == 0


def test_several_choices_take_several_slots() -> None:
    with FakeVllm("endless", gap=0.01) as fake, httpx2.Client(trust_env=False) as client:
        body = {**CHAT, "stream": True, "n": 3, "temperature": 1}
        with client.stream("POST", f"{fake.base_url}/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            assert gauge(fake, "num_requests_running") == 3


@pytest.mark.parametrize("stream", [True, False])
def test_a_full_queue_is_vllms_503(stream: bool) -> None:
    with FakeVllm("endless", max_num_seqs=1, max_num_queued_reqs=2) as fake, holding(fake, 2):
        answer = httpx2.post(
            f"{fake.base_url}/chat/completions", json={**CHAT, "stream": stream}, trust_env=False
        )
        assert answer.status_code == 503
        assert answer.json()["error"] == {
            "message": "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.",
            "type": "Service Unavailable",
            "param": None,
            "code": 503,
        }
        assert fake.requests[-1].end == "refused"
        page = httpx2.get(f"{fake.root}/metrics", trust_env=False).text
        assert (
            'vllm:admission_rejections_total{model_name="fake-model",reason="max_num_queued_reqs"} 1.0'
            in page
        )


def test_too_many_prompt_tokens_in_the_queue_are_a_503_too() -> None:
    with (
        FakeVllm("no_first_token", max_num_queued_tokens=5) as fake,
        ask(fake, "no_first_token") as first,
    ):
        read(first, until=b"\r\n\r\n")
        answer = httpx2.post(f"{fake.base_url}/chat/completions", json=CHAT, trust_env=False)
        assert answer.status_code == 503
        assert "prefill token backlog" in answer.json()["error"]["message"]


def test_prefill_takes_time_for_each_token_of_the_prompt() -> None:
    with (
        FakeVllm("finite:tokens=1", gap=0, prefill_ms_per_token=1) as fake,
        httpx2.Client(trust_env=False, timeout=20) as client,
    ):
        for words in (1, 200):
            content = "word " * words
            client.post(
                f"{fake.base_url}/chat/completions",
                json={"messages": [{"role": "user", "content": content}]},
            )
        short, long = fake.requests
        for entry in (short, long):
            assert entry.first_token is not None
            assert entry.started is not None
            took = entry.first_token - entry.started
            assert 0.9 * entry.prompt_tokens / 1000 < took < entry.prompt_tokens / 1000 + 3
        assert long.prompt_tokens > short.prompt_tokens + 150


@pytest.mark.parametrize("gap", ["normal:20,4", "lognormal:20,0.3"])
def test_gaps_may_be_drawn_from_a_distribution(gap: str) -> None:
    with FakeVllm("finite:tokens=40", gap_ms=gap) as fake, ask(fake, "") as client:
        times = [at for at, _ in _arrivals(client)]
        gaps = [(later - earlier) * 1000 for earlier, later in pairwise(times[1:])]
        assert 14 < mean(gaps) < 60
        assert pstdev(gaps) > 1.5


def test_gaps_may_be_those_of_a_recorded_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text(json.dumps([5, 60]))
    with FakeVllm("finite:tokens=8", gap_ms=f"trace:{trace}") as fake, ask(fake, "") as client:
        times = [at for at, _ in _arrivals(client)]
        gaps = [later - earlier for earlier, later in pairwise(times[1:])]
        assert [sum(gap > 0.04 for gap in gaps), sum(gap < 0.03 for gap in gaps)] >= [3, 3]


def test_on_disconnect_keep_goes_on_generating_and_the_ledger_shows_it() -> None:
    with FakeVllm("finite:tokens=60", gap=0.01, on_disconnect="keep") as fake:
        with ask(fake, "") as client:
            read(client, until=b"choices")
        entry = fake.until_over()
        assert entry.end == "client left"
        assert entry.tokens == 61
        assert entry.tokens_after_left > 40
        assert entry.client_left is not None
        assert entry.slot_freed is not None
        assert entry.slot_freed - entry.client_left > 0.4
        assert gauge(fake, "generation_tokens_total") == 61


@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnect_during_the_prefill_frees_the_slot(stream: bool) -> None:
    with FakeVllm("finite", prefill_ms_per_token=1000) as fake:
        took = []
        for _ in range(3):  # the best of three: the machine may be busy, the server may not
            fake.clear()
            with ask(fake, "", stream=stream):
                fake.until_started()
            entry = fake.until_over()
            assert (entry.end, entry.tokens) == ("client left", 0)
            assert entry.slot_freed is not None
            assert entry.client_left is not None
            took.append(entry.slot_freed - entry.client_left)
        assert min(took) < 0.02


def _arrivals(client: Any) -> Iterator[tuple[float, bytes]]:
    return arrivals(client, until=b"[DONE]")
