"""Each scenario as a client sees it, and the three ways to choose one."""

import itertools
import time
from collections.abc import Iterator

import httpx2
import pytest

from fake_vllm.model import GenerationPlan
from fake_vllm.scenarios import ScenarioError, catalogue, parse
from stream_lab.experiment.fake import Fake
from tests.conftest import ledger

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with Fake("finite", gap=0.002) as fake:
        yield fake


def lines(
    client: httpx2.Client, fake: Fake, scenario: str, *, seconds: float = 0.4, **more: object
) -> list[str]:
    """The non-empty lines of a stream, until it ends or stays silent for `seconds`."""
    got: list[str] = []
    try:
        with client.stream(
            "POST",
            f"{fake.base_url}/chat/completions",
            json={**CHAT, "fake_scenario": scenario, **more},
            timeout=seconds,
        ) as answer:
            got.extend(itertools.islice((line for line in answer.iter_lines() if line), 400))
    except httpx2.ReadTimeout:
        got.append("silence")
    return got


def test_finite_ends_as_the_protocol_says(server: Fake, http: httpx2.Client) -> None:
    got = lines(http, server, "finite:tokens=6")
    assert '"finish_reason":"stop"' in got[-2]
    assert got[-1] == "data: [DONE]"
    assert len(got) == 1 + 6 + 1 + 1  # role, tokens, finish, [DONE]


def test_ignore_eos_keeps_a_finite_model_talking_to_max_tokens(
    server: Fake, http: httpx2.Client
) -> None:
    got = lines(http, server, "finite:tokens=6", ignore_eos=True, max_tokens=20)
    assert '"finish_reason":"length"' in got[-2]
    assert len(got) == 1 + 20 + 1


def test_endless_goes_on_past_the_context_but_honours_max_tokens(http: httpx2.Client) -> None:
    with Fake("endless", gap=0, max_model_len=64) as fake:
        assert len(lines(http, fake, "endless")) == 400
        assert len(lines(http, fake, "finite", ignore_eos=True)) < 64
        assert len(lines(http, fake, "endless", max_tokens=5)) == 1 + 5 + 1


def test_stall_sends_n_tokens_and_then_nothing(server: Fake, http: httpx2.Client) -> None:
    got = lines(http, server, "stall:after=3")
    assert got[-1] == "silence"
    assert len(got) == 1 + 3 + 1  # role, tokens, silence


def test_keep_alive_sends_comments_and_no_more_tokens(server: Fake, http: httpx2.Client) -> None:
    got = lines(http, server, "keep_alive:after=2,every=0.001")
    assert len(got) == 400
    assert set(got[3:]) == {": keep-alive"}


def test_no_first_token_sends_headers_only(server: Fake, http: httpx2.Client) -> None:
    assert lines(http, server, "no_first_token") == ["silence"]
    assert ledger(http, server)[-1]["started"] is not None


def test_no_headers_sends_nothing_at_all_while_the_engine_works(
    server: Fake, http: httpx2.Client
) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        http.post(
            f"{server.base_url}/chat/completions",
            json={**CHAT, "fake_scenario": "no_headers"},
            timeout=1.0,
        )
    assert ledger(http, server)[-1]["tokens"] > 0


@pytest.mark.parametrize(
    "scenario", ["stall", "keep_alive", "no_first_token", "no_headers", "endless"]
)
def test_each_fault_acts_on_a_whole_answer_too(
    scenario: str, server: Fake, http: httpx2.Client
) -> None:
    body = {**CHAT, "stream": False, "fake_scenario": scenario}
    with pytest.raises(httpx2.ReadTimeout):
        http.post(f"{server.base_url}/chat/completions", json=body, timeout=0.3)


def test_scenarios_combine(http: httpx2.Client, server: Fake) -> None:
    got = lines(http, server, "endless+stall:after=60")
    assert len(got) == 1 + 60 + 1
    assert got[-1] == "silence"


@pytest.mark.parametrize(
    ("scenario", "tokens"),
    [("linger", 40), ("burst+finite:tokens=7", 7), ("burst:tokens=3+trickle", 40)],
)
def test_a_delivery_fault_alone_plays_a_finite_answer(scenario: str, tokens: int) -> None:
    assert (
        parse(scenario)
        .select()
        .shape(GenerationPlan(eos_after=1000, max_tokens=None, context=1000))
        .eos_after
        == tokens
    )


def test_a_header_chooses_the_scenario_and_a_field_wins_over_it(
    http: httpx2.Client, server: Fake
) -> None:
    url, header = f"{server.base_url}/chat/completions", {"x-fake-scenario": "finite:tokens=2"}
    by_header = http.post(url, json={**CHAT, "stream": False}, headers=header).json()
    by_field = http.post(
        url, json={**CHAT, "stream": False, "fake_scenario": "finite:tokens=5"}, headers=header
    ).json()
    assert by_header["usage"]["completion_tokens"] == 2 + 1
    assert by_field["usage"]["completion_tokens"] == 5 + 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("babble", "There are: finite, endless"),
        ("stall:after=x", "after"),
        ("stall:before=3", "before"),
        ("stall:after=-1", "after"),
        ("", "There are"),
        ("time_limit:seconds=inf", "seconds: Input should be a finite number"),
        ("bandwidth:bytes=1e999", "bytes: Input should be a finite number"),
        ("rate_limit:per=1e308", "per: Input should be less than"),
        ("pace:gap=fast", "'pace': 'fast' is not a timing"),
        # Each of these would stop the server or use up its memory.
        ("finite:tokens=" + "9" * 4000, r"'finite': tokens: a number is at most 1e\+12"),
        ("time_limit:seconds=1e13", r"'time_limit': seconds: a number is at most 1e\+12"),
        ("big_event:bytes=100000000001", "bytes: Input should be less than"),
        ("+".join(["crlf"] * 33), "at most 32 parts; this one has 33"),
        ("repeat:phrase=" + "x" * 10_000, "at most 10000 characters; this one has 10014"),
        ("replay:file=/nowhere.json", r"'replay': Cannot read /nowhere.json: [^.]+\.$"),
    ],
)
def test_an_unknown_scenario_or_parameter_is_one_clear_sentence(text: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_scenario_of_the_most_parts_plays(http: httpx2.Client, server: Fake) -> None:
    body = {**CHAT, "fake_scenario": "+".join(["crlf"] * 32), "max_tokens": 2}
    answer = http.post(f"{server.base_url}/chat/completions", json=body)
    assert answer.text.count("data: [DONE]") == 1


def test_an_unknown_scenario_in_a_request_is_refused(http: httpx2.Client, server: Fake) -> None:
    answer = http.post(
        f"{server.base_url}/chat/completions", json={**CHAT, "fake_scenario": "babble"}
    )
    assert answer.status_code == 400
    assert "There is no scenario 'babble'" in answer.json()["error"]["message"]


def test_every_scenario_says_what_it_does_in_one_line() -> None:
    assert all(30 < len(text) < 160 and "\n" not in text for text in catalogue().values())


def test_the_pace_does_not_drift(http: httpx2.Client) -> None:
    """A hundred tokens at 5 ms take about half a second."""
    with Fake("endless", gap=0.005) as fake:
        started = time.monotonic()
        lines(http, fake, "endless", max_tokens=100)
        assert 0.49 <= time.monotonic() - started < 4.0
