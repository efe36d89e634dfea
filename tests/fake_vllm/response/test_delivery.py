"""Answers whose bytes come in odd portions, have no content, or never end."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from stream_lab.experiment.fake import Fake
from stream_lab.experiment.witness import RUNNING, read_metrics
from tests.conftest import ledger
from tests.fake_vllm.raw import arrivals, ask, chunks, events, read, take, usual_gap

GAP = 0.002
END = b"0\r\n\r\n"
DONE = b"data: [DONE]"


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with Fake("finite", gap=GAP) as fake:
        yield fake


def post(http: httpx2.Client, fake: Fake, scenario: str, *, stream: bool = True) -> httpx2.Response:
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": stream,
        "fake_scenario": scenario,
    }
    return http.post(f"{fake.base_url}/chat/completions", json=body)


def contents(text: str) -> list[Any]:
    """What each event of a stream says, without ids and times."""
    found = []
    for line in text.split("\n\n")[:-1]:
        data = line.removeprefix("data: ")
        found.append(data if data == "[DONE]" else json.loads(data)["choices"])
    return found


class TestEmptyDeltas:
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
    def test_empty_deltas_follow_the_tokens(self, path: str, server: Fake) -> None:
        with ask(server, "empty_deltas:after=2,every=0.01", path=path) as connection:
            data, _ = take(connection, 20)
        got = [json.loads(event[6:]) for event in events(data.partition(b"\r\n\r\n")[2])]
        says = [
            choice.get("text", choice.get("delta", {}).get("content"))
            for choice in (event["choices"][0] for event in got)
        ]
        first = 1 if "chat" in path else 0  # the role event
        assert len(got) > 10
        assert all(says[first : first + 2])
        assert set(says[first + 2 :]) == {""}
        assert got[-1].keys() == got[first].keys()
        assert got[-1]["choices"][0].keys() == got[first]["choices"][0].keys()

    def test_an_empty_delta_comes_every_n_seconds(self, server: Fake) -> None:
        with ask(server, "empty_deltas:after=1,every=0.05") as connection:
            _, times = take(connection, 12)
        assert 0.045 < usual_gap(times[3:]) < 0.1


class TestHalfEvent:
    def test_half_an_event_follows_the_tokens_byte_by_byte(self, server: Fake) -> None:
        with ask(server, "half_event:after=2,every=0.01") as connection:
            _, body = read(connection, until=b"1\r\n \r\n" * 20)
        *_, token, half = b"".join(chunks(body)).split(b"\n\n")
        assert b'"content"' in token
        assert half.rstrip(b" ") == b'data: {"id":'
        assert half.count(b" ") >= 20
        assert chunks(body)[-20:] == [b" "] * 20


class TestBurst:
    def test_events_come_in_packets_and_the_last_packet_has_the_rest(self, server: Fake) -> None:
        with ask(server, "finite:tokens=23+burst:tokens=10") as connection:
            _, body = read(connection, until=END)
        packets = chunks(body)
        assert [packet.count(b"\n\n") for packet in packets] == [
            10,
            10,
            6,
            0,
        ]  # role, 23 tokens, finish, [DONE]; the end
        assert packets[2].endswith(DONE + b"\n\n")

    def test_the_pace_of_the_tokens_stays_that_of_the_server(self, server: Fake) -> None:
        with ask(server, "endless+burst:tokens=50") as connection:
            _, times = take(connection, 8)
        assert 45 * GAP < usual_gap(times[1:]) < 100 * GAP

    def test_an_incomplete_packet_is_held_back(self, server: Fake) -> None:
        with ask(server, "stall:after=3+burst:tokens=10") as connection:
            head, body = read(connection, seconds=0.3)
        assert head.startswith(b"HTTP/1.1 200")
        assert body == b""


class TestTrickle:
    def test_headers_come_at_once_and_the_body_trickles(self, server: Fake) -> None:
        with ask(server, "endless+trickle:bytes=3,every=0.01") as connection:
            first = connection.recv(65536)
            data, times = take(connection, 20)
        head, _, body = (first + data).partition(b"\r\n\r\n")
        assert len(first) > len(head)
        assert {len(drop) for drop in chunks(body)} == {3}
        assert 0.009 < usual_gap(times) < 0.03

    def test_a_whole_answer_trickles_too_and_has_its_length(self, server: Fake) -> None:
        with ask(
            server, "finite:tokens=2+trickle:bytes=20,every=0.005", stream=False
        ) as connection:
            began = time.monotonic()
            head, body = read(connection, until=b'"metrics":null}')
            took = time.monotonic() - began
        assert f"content-length: {len(body)}" in head.decode()
        assert json.loads(body)["usage"]["completion_tokens"] == 3
        assert took > len(body) / 20 * 0.005 * 0.9

    def test_a_byte_at_a_time_is_the_default(self, server: Fake) -> None:
        with ask(server, "trickle:every=0.001") as connection:
            _, body = read(connection, until=b"1\r\n \r\n")
        assert {len(data) for data in chunks(body)} == {1}


class TestTrickleHeaders:
    @pytest.mark.parametrize("stream", [True, False])
    def test_the_head_comes_byte_by_byte_and_then_the_answer(
        self, stream: bool, server: Fake
    ) -> None:
        begins = [bytes([byte]) for byte in b"HTTP/1.1 200"]
        for _ in range(3):  # a reader that the machine holds up gets several bytes at once
            with ask(
                server, "finite:tokens=2+trickle_headers:every=0.005", stream=stream
            ) as connection:
                came = list(arrivals(connection, until=END if stream else b'"metrics":null}'))
            if [data for _, data in came[:12]] == begins:
                break
        got = b"".join(data for _, data in came)
        head, _, body = got.partition(b"\r\n\r\n")
        assert [data for _, data in came[:12]] == begins
        in_head = [at for at, _ in came[: len(head)]]
        assert 0.0045 < usual_gap(in_head) < 0.02
        assert body.endswith(DONE + b"\n\n\r\n" + END) if stream else json.loads(body)

    def test_only_the_pace_changes(self, server: Fake, http: httpx2.Client) -> None:
        slow, plain = (
            post(http, server, scenario)
            for scenario in ("finite+trickle_headers:every=0.0005", "finite")
        )
        assert [name for name in slow.headers if name != "date"] == [
            name for name in plain.headers if name != "date"
        ]
        assert contents(slow.text) == contents(plain.text)

    def test_the_engine_works_while_the_headers_are_on_their_way(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        with ask(server, "endless+trickle_headers") as connection:
            head, _ = read(connection, until=b"200")
            assert ledger(http, server)[-1]["started"] is not None
            assert (
                read_metrics(http.get(server.base_url.removesuffix("/v1") + "/metrics").text)[
                    RUNNING
                ]
                == 1
            )
        assert head.endswith(b"200")


class TestLinger:
    def test_a_stream_lacks_only_its_end_and_the_slot_is_free(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        with ask(server, "finite:tokens=2+linger") as connection:
            _, body = read(connection, seconds=0.3)
            entry = ledger(http, server)[-1]
        assert chunks(body)[-1] == DONE + b"\n\n"
        assert entry["end"] == "running"
        assert entry["slot_freed"] is not None
        assert entry["client_left"] is None

    def test_a_whole_answer_lacks_its_last_byte(self, server: Fake, http: httpx2.Client) -> None:
        with ask(server, "finite:tokens=2+linger", stream=False) as connection:
            head, body = read(connection, seconds=0.3)
            assert ledger(http, server)[-1]["slot_freed"] is not None
        assert f"content-length: {len(body) + 1}" in head.decode()
        assert json.loads(body + b"}")["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "scenario",
    [
        "burst:tokens=7",
        "trickle:bytes=64,every=0.0001",
        "burst:tokens=7+trickle:bytes=64,every=0.0001",
        "trickle:bytes=64,every=0.0001+burst:tokens=7",
        "trickle_headers:every=0.0005+burst:tokens=7",
        "burst:tokens=7+trickle_headers:every=0.0005+trickle:bytes=64,every=0.0001",
    ],
)
def test_delivery_does_not_change_the_answer(
    scenario: str, stream: bool, server: Fake, http: httpx2.Client
) -> None:
    odd, plain = (
        post(http, server, text, stream=stream)
        for text in (f"finite:tokens=20+{scenario}", "finite:tokens=20")
    )
    if stream:
        assert contents(odd.text) == contents(plain.text)
    else:
        assert odd.json()["choices"] == plain.json()["choices"]
        assert odd.headers["content-length"] == str(len(odd.content))


def test_the_bytes_pass_through_the_scenarios_in_the_order_of_their_names(server: Fake) -> None:
    def sizes(scenario: str) -> set[int]:
        with ask(server, "finite:tokens=20+" + scenario) as connection:
            return {len(chunk) for chunk in chunks(read(connection, until=END)[1])}

    assert max(sizes("burst:tokens=7+trickle:bytes=64,every=0.0001")) == 64
    assert max(sizes("trickle:bytes=64,every=0.0001+burst:tokens=7")) > 64


def test_trickle_keeps_a_stall(server: Fake) -> None:
    with ask(server, "stall:after=3+trickle:bytes=16,every=0.0005") as connection:
        _, body = read(connection, seconds=0.3)
    assert len(events(body)) == 1 + 3
    assert b"".join(chunks(body)).endswith(b"\n\n")


@pytest.mark.parametrize(
    "scenario", ["empty_deltas", "half_event", "endless+burst", "endless+trickle", "endless+linger"]
)
def test_each_delivery_fault_acts_on_a_whole_answer_too(scenario: str, server: Fake) -> None:
    with ask(server, scenario, stream=False) as connection:
        assert read(connection, seconds=0.3) == (b"", b"")
