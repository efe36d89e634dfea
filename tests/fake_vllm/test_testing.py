"""The pytest fixture and the ledger as Python objects."""

import httpx2
import pytest

from fake_vllm.testing import FakeVllm, FakeVllmError
from tests.fake_vllm.raw import ask, read

pytest_plugins = ["pytester"]


def test_the_fixture_gives_a_server_whose_requests_are_objects(fake_vllm: FakeVllm) -> None:
    assert fake_vllm.requests == []
    with ask(fake_vllm, "") as client:
        read(client, until=b"[DONE]")
    entry = fake_vllm.until_over()
    assert (entry.number, entry.attempt, entry.end, entry.status, entry.stream) == (
        1,
        1,
        "finished",
        200,
        True,
    )
    moments = [
        entry.arrived,
        entry.queued,
        entry.started,
        entry.first_token,
        entry.last_token,
        entry.slot_freed,
        entry.over,
    ]
    assert moments == sorted(moments)  # type: ignore[type-var]
    assert entry.bytes > 41 * 100


@pytest.mark.fake_vllm("stall:after=2")
def test_a_marker_chooses_the_scenario(fake_vllm: FakeVllm) -> None:
    with ask(fake_vllm, "") as client:
        read(client, until=b"choices")
        assert fake_vllm.until_started().slot_freed is None
    freed = fake_vllm.until_freed()
    assert freed.scenario == "stall:after=2"
    assert freed.tokens_after_left == 0


def test_a_wait_that_fails_shows_the_ledger(fake_vllm: FakeVllm) -> None:
    with ask(fake_vllm, "stall") as client:
        read(client, until=b"choices")
        with pytest.raises(
            FakeVllmError, match=r"within 0.1 s. The ledger: \[Entry\(id='chatcmpl-"
        ):
            fake_vllm.until_freed(timeout=0.1)


def test_the_scenario_can_be_changed_while_it_runs(fake_vllm: FakeVllm) -> None:
    fake_vllm.play("refuse:status=429,times=0")
    with ask(fake_vllm, "") as client:
        assert read(client, until=b"}}")[0].startswith(b"HTTP/1.1 429")


def test_clearing_resets_the_counts_of_requests_and_attempts(fake_vllm: FakeVllm) -> None:
    for numbers in ([1, 2], [1, 2]):
        for _ in numbers:
            with ask(fake_vllm, "finite:tokens=1") as client:
                read(client, until=b"[DONE]")
        assert (
            [entry.number for entry in fake_vllm.requests]
            == [entry.attempt for entry in fake_vllm.requests]
            == numbers
        )
        fake_vllm.clear()


def test_requests_over_one_connection_have_turn_numbers(fake_vllm: FakeVllm) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    with httpx2.Client(trust_env=False) as client:
        for stream in (False, True, False):
            client.post(
                f"{fake_vllm.base_url}/chat/completions", json={**chat, "stream": stream}
            ).raise_for_status()
    with ask(fake_vllm, "finite:tokens=1") as other:
        read(other, until=b"[DONE]")
    assert [entry.turn for entry in fake_vllm.requests] == [1, 2, 3, 1]


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(FakeVllmError, match="There is no scenario 'babble'"):
        FakeVllm("babble")


def test_the_plugin_is_installed_with_the_distribution(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(fake_vllm):\n    assert fake_vllm.requests == []\n")
    done = pytester.runpytest_subprocess("-p", "no:nbval", "-p", "no:xdist")
    done.assert_outcomes(passed=1)
