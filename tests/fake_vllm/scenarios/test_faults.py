"""Each fault in the text or the end of an answer, on the wire."""

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import arrivals, ask, chunks, events, read, take

END = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=8", gap=0.001) as fake:
        yield fake


def stream(
    server: FakeVllm, scenario: str, *, until: bytes = END, stream: bool = True
) -> tuple[bytes, bytes]:
    with ask(server, scenario, stream=stream) as connection:
        return read(connection, until=until)


def said(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(event[6:]) for event in events(body) if event != b"data: [DONE]"]


def words(body: bytes) -> list[str]:
    return [event["choices"][0]["delta"].get("content") for event in said(body) if event["choices"]]


def deltas_of(server: FakeVllm, scenario: str) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in said(stream(server, scenario)[1])]


def whole(server: FakeVllm, scenario: str) -> dict[str, Any]:
    head, body = stream(server, scenario, until=b'"metrics":null}', stream=False)
    assert int(re.findall(rb"content-length: (\d+)", head)[0]) == len(body)
    message: dict[str, Any] = json.loads(body)["choices"][0]["message"]
    return message


class TestClose:
    def test_the_connection_ends_in_the_middle_with_a_fin(self, server: FakeVllm) -> None:
        _, body = stream(server, "close:after=3", until=b"")
        assert len(events(body)) == 1 + 3
        assert chunks(body)[-1] != b""
        assert server.until_over().end == "closed"

    def test_the_close_may_come_before_any_header(self, server: FakeVllm) -> None:
        assert stream(server, "close:after=0", until=b"") == (b"", b"")


class TestEndsEarly:
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
    def test_a_stream_ends_properly_without_a_finish_reason(
        self, path: str, server: FakeVllm
    ) -> None:
        with ask(server, "ends_early:after=3", path=path) as connection:
            _, body = read(connection, until=END)
            text = b"".join(chunks(body))
            assert chunks(body)[-1] == b""
            assert (
                text.count(
                    b"output_text.delta\ndata:" if "responses" in path else b'"finish_reason":null'
                )
                - ("chat" in path)
                == 3
            )
            assert not re.findall(rb'"finish_reason":"|\[DONE\]|response.completed', text)
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert connection.recv(64).startswith(b"HTTP/1.1 200 OK")  # the connection is kept
        entry = server.until_over()
        assert (entry.end, entry.slot_freed is not None, entry.client_left) == (
            "finished",
            True,
            None,
        )

    def test_a_stream_may_end_without_any_content(self, server: FakeVllm) -> None:
        head, body = stream(server, "ends_early:after=0")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert body == END

    def test_an_answer_that_ends_before_the_fault_is_whole(self, server: FakeVllm) -> None:
        assert (
            events(stream(server, "ends_early:after=5+finite:tokens=2")[1])[-1] == b"data: [DONE]"
        )
        _, body = stream(
            server, "ends_early:after=5+finite:tokens=2", until=b'"metrics":null}', stream=False
        )
        assert json.loads(body)["choices"][0]["finish_reason"] == "stop"

    def test_a_whole_answer_is_a_few_bytes_with_their_correct_length(
        self, server: FakeVllm
    ) -> None:
        head, body = stream(server, "ends_early", until=b'{"id":"', stream=False)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert int(re.findall(rb"content-length: (\d+)", head)[0]) == len(body)
        assert not is_json(body)


class TestTimeLimit:
    @pytest.mark.parametrize(
        "fault",
        [
            "endless",
            "stall:after=3",
            "no_first_token",
            "no_headers",
            "keep_alive:after=3,every=0.01",
            "linger",
        ],
    )
    def test_the_connection_ends_at_the_limit_in_every_phase(
        self, fault: str, server: FakeVllm
    ) -> None:
        started = time.monotonic()
        _, body = stream(server, f"{fault}+time_limit:seconds=0.3", until=b"")
        assert 0.29 < time.monotonic() - started < 5
        assert END not in body
        assert server.until_over().end == "closed"

    def test_an_answer_that_ends_before_the_limit_is_not_affected(self, server: FakeVllm) -> None:
        assert chunks(stream(server, "time_limit:seconds=5")[1])[-1] == b""
        assert whole(server, "time_limit:seconds=5")["content"]

    def test_a_queued_request_gets_a_slot_within_the_limit(self) -> None:
        with FakeVllm("finite:tokens=30", gap=0.01, max_num_seqs=1) as fake, ask(fake, "") as first:
            _, body = stream(fake, "time_limit:seconds=5")
            assert len(events(body)) == 1 + 30 + 2
            read(first, until=END)


class TestThink:
    @pytest.mark.parametrize(
        ("field", "names"),
        [
            ("reasoning", ["reasoning"]),
            ("reasoning_content", ["reasoning_content"]),
            ("both", ["reasoning", "reasoning_content"]),
        ],
    )
    def test_the_first_tokens_of_a_stream_are_reasoning_and_the_rest_is_the_answer(
        self, field: str, names: list[str], server: FakeVllm
    ) -> None:
        role, *deltas = deltas_of(server, f"think:tokens=3,field={field}")
        assert role == {"role": "assistant", "content": ""}
        assert [sorted(delta) for delta in deltas] == [names] * 3 + [["content"]] * 6
        assert [next(iter(delta.values())) for delta in [role, *deltas]] == [
            "assistant",
            *words(stream(server, "")[1])[1:],
        ]
        assert all(len(set(delta.values())) == 1 for delta in deltas)

    def test_a_whole_answer_has_reasoning_and_answer_apart(self, server: FakeVllm) -> None:
        message, plain = (whole(server, scenario) for scenario in ("think:tokens=3", ""))
        assert len(message["reasoning"].split()) == 3
        assert message["reasoning"] + message["content"] == plain["content"]
        assert list(message) == list(plain)

    def test_older_vllms_call_the_field_reasoning_content(self, server: FakeVllm) -> None:
        both = whole(server, "think:tokens=3,field=both")
        assert (
            both["reasoning"]
            == both["reasoning_content"]
            == whole(server, "think:tokens=3,field=reasoning_content")["reasoning_content"]
        )

    def test_an_answer_that_is_all_reasoning_has_no_content(self, server: FakeVllm) -> None:
        *thoughts, end = deltas_of(server, "finite:tokens=4+think")[1:]
        assert [list(delta) for delta in thoughts] == [["reasoning"]] * 4
        assert end == {"content": ""}
        message = whole(server, "finite:tokens=4+think")
        assert (message["content"], len(message["reasoning"].split())) == (None, 4)

    @pytest.mark.parametrize(
        ("scenario", "thought"),
        [("endless+think:tokens=1000+stall:after=20", 20), ("stall:after=20+think:tokens=9", 9)],
    )
    def test_reasoning_combines_with_other_faults(
        self, scenario: str, thought: int, server: FakeVllm
    ) -> None:
        with ask(server, scenario) as connection:
            _, body = read(connection, seconds=0.3)
        thoughts = [event for event in said(body) if "reasoning" in event["choices"][0]["delta"]]
        assert (len(said(body)), len(thoughts)) == (1 + 20, thought)

    def test_reasoning_keeps_its_order_at_full_speed(self) -> None:
        with FakeVllm("finite:tokens=400", gap=0) as fake:
            plain, thought = (
                words(stream(fake, "")[1]),
                deltas_of(fake, "finite:tokens=400+think:tokens=150"),
            )
        assert [delta.get("content", delta.get("reasoning")) for delta in thought] == plain
        assert ["reasoning" in delta for delta in thought] == [False] + [True] * 150 + [False] * 251

    def test_only_a_chat_has_reasoning(self, server: FakeVllm) -> None:
        with ask(server, "think", path="/v1/completions") as connection:
            _, body = read(connection, until=END)
        assert b"reasoning" not in body


class TestAbort:
    def test_a_stream_ends_as_on_a_vllm_that_is_shutting_down(self, server: FakeVllm) -> None:
        _, body = stream(server, "abort:after=3")
        last = said(body)[-1]["choices"][0]
        assert (last["finish_reason"], last["delta"]["content"]) == ("abort", "")
        assert events(body)[-1] == b"data: [DONE]"
        assert len(events(body)) == 1 + 3 + 1 + 1

    def test_a_whole_answer_has_the_part_that_was_generated(self, server: FakeVllm) -> None:
        _, body = stream(server, "abort:after=3", until=b'"metrics":null}', stream=False)
        choice = json.loads(body)["choices"][0]
        assert choice["finish_reason"] == "abort"
        assert choice["message"]["content"]


class TestMalformed:
    def test_one_event_is_not_json_and_the_others_are(self, server: FakeVllm) -> None:
        _, body = stream(server, "malformed:after=2")
        broken = [event for event in events(body)[:-1] if not is_json(event[6:])]
        assert broken == [events(body)[1 + 2]]
        assert is_json(broken[0][6:] + b"}")

    def test_a_whole_answer_is_not_json_either(self, server: FakeVllm) -> None:
        head, body = stream(server, "malformed", until=b'"metrics":null', stream=False)
        assert not is_json(body)
        assert is_json(body.rstrip() + b"}")
        assert b"content-length: " in head


class TestWrongLength:
    @pytest.mark.parametrize("by", [10, -10])
    def test_a_whole_answer_has_another_length_than_it_declares(
        self, by: int, server: FakeVllm
    ) -> None:
        head, body = stream(server, f"wrong_length:by={by}", until=b'"metrics":null}', stream=False)
        assert int(re.findall(rb"content-length: (\d+)", head)[0]) == len(body) + by

    def test_a_stream_announces_a_wrong_chunk(self, server: FakeVllm) -> None:
        _, body = stream(server, "wrong_length")
        size, _, rest = body.partition(b"\r\n")
        assert int(size, 16) == rest.index(b"\r\n") + 10


def test_no_done_leaves_out_done_and_ends_the_body_properly(server: FakeVllm) -> None:
    _, body = stream(server, "no_done")
    assert b"[DONE]" not in body
    assert said(body)[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks(body)[-1] == b""


def test_duplicate_sends_one_event_twice(server: FakeVllm) -> None:
    _, odd = stream(server, "duplicate:after=2")
    _, plain = stream(server, "")
    expected = words(plain)
    assert words(odd) == [*expected[: 1 + 3], expected[3], *expected[4:]]


def test_out_of_order_swaps_words_and_loses_none(server: FakeVllm) -> None:
    _, odd = stream(server, "out_of_order:after=2+finite:tokens=8")
    _, plain = stream(server, "finite:tokens=8")
    role, a, b, c, d, *_ = expected = words(plain)
    assert words(odd)[:5] == [role, a, b, d, c]
    assert sorted(words(odd)) == sorted(expected)


def test_wrong_ids_gives_each_later_event_its_own(server: FakeVllm) -> None:
    _, body = stream(server, "wrong_ids:after=2+finite:tokens=8")
    ids = [event["id"] for event in said(body)]
    assert len(set(ids[: 1 + 2])) == 1
    assert len(set(ids[3:])) == len(ids[3:])
    assert ids[3:] == sorted(ids[3:], reverse=True)


@pytest.mark.parametrize("whole", [False, True])
def test_wrong_model_answers_under_another_name(whole: bool, server: FakeVllm) -> None:
    head, body = stream(
        server,
        "wrong_model:model=other",
        until=b'"metrics":null}' if whole else END,
        stream=not whole,
    )
    answers = [json.loads(body)] if whole else said(body)
    assert {answer["model"] for answer in answers} == {"other"}
    assert not whole or int(re.findall(rb"content-length: (\d+)", head)[0]) == len(body)


def test_crlf_ends_lines_as_windows_does(server: FakeVllm) -> None:
    _, body = stream(server, "crlf")
    text = b"".join(chunks(body))
    assert text.count(b"\r\n\r\n") == text.count(b"data: ") > 8
    assert b"\n" not in text.replace(b"\r\n", b"")


class TestSplit:
    def test_each_byte_may_be_a_packet(self, server: FakeVllm) -> None:
        most = []
        for _ in range(10):  # a reader that the machine holds up gets several at once
            with ask(server, "split+finite:tokens=0") as connection:
                came = [data for _, data in arrivals(connection, until=END)]
            assert len(came) > 100
            most.append(max(map(len, came[1:])))
            if most[-1] < 8:
                break
        assert min(most) < 8

    def test_a_packet_may_end_inside_a_character(self, server: FakeVllm) -> None:
        with ask(server, "split:at=character,every=0.01+finite:tokens=6") as connection:
            came = [data for _, data in arrivals(connection, until=END)]
        assert any(not is_utf8(data) for data in came)
        assert is_utf8(b"".join(came))

    def test_a_packet_may_end_between_cr_and_lf(self, server: FakeVllm) -> None:
        with ask(server, "split:at=line,every=0.005+finite:tokens=2") as connection:
            came = [data for _, data in arrivals(connection, until=END)]
        assert sum(data.endswith(b"\r") for data in came) > 10


def test_buffer_sends_when_it_is_full_and_at_the_end(server: FakeVllm) -> None:
    with ask(server, "buffer:bytes=1000+finite:tokens=12") as connection:
        came = [data for _, data in arrivals(connection, until=END)]
    assert {len(data) % 1000 for data in came[:-1]} == {0}
    assert b"".join(came).endswith(END)


def test_repeat_repeats_a_phrase(server: FakeVllm) -> None:
    with ask(server, "repeat:phrase=no more ") as connection:
        data, _ = take(connection, 40)
    _, *said = words(data.partition(b"\r\n\r\n")[2])
    assert "".join(said)[:32] == "no more " * 4


def test_repetition_detection_ends_a_repeat(server: FakeVllm) -> None:
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "repetition_detection": {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 4},
        "fake_scenario": "repeat:phrase=no ",
    }
    answer = httpx2.post(f"{server.base_url}/chat/completions", json=body, trust_env=False)
    choice = answer.json()["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("repetition", "repetition_detected")


def test_pace_sets_other_times_for_one_request(server: FakeVllm) -> None:
    stream(server, "pace:first_token=60,gap=20+finite:tokens=5")
    entry = server.until_over()
    assert entry.first_token is not None
    assert entry.started is not None
    assert entry.last_token is not None
    assert 0.055 < entry.first_token - entry.started < 5
    # The pace counts from the start, so that a first token that is late delays no other one.
    assert 0.155 < entry.last_token - entry.started < 5


def test_headers_have_a_clock_of_their_own(server: FakeVllm) -> None:
    stream(server, "pace:headers=80")
    entry = server.until_over()
    assert entry.headers is not None
    assert 0.075 < entry.headers - entry.arrived < 5


def test_never_read_takes_the_connection_and_nothing_else() -> None:
    with FakeVllm("endless") as fake:
        host, port = fake.root.removeprefix("http://").split(":")
        fake.play("never_read")
        with socket.create_connection((host, int(port)), timeout=0.5) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            with pytest.raises(TimeoutError):
                client.recv(1)


class TestTriggers:
    def test_a_fault_on_some_attempts_only(self, server: FakeVllm) -> None:
        server.clear()
        ends: list[str] = []
        for _ in range(4):
            stream(
                server,
                "close:after=1,attempts=2-3+finite:tokens=2",
                until=END if len(ends) in (0, 3) else b"",
            )
            ends.append(server.until_over().end)
        assert ends == ["finished", "closed", "closed", "finished"]

    def test_a_fault_on_some_requests_to_the_server_only(self, server: FakeVllm) -> None:
        server.clear()
        stream(server, "finite:tokens=1")
        _, body = stream(server, "error_event:after=1,requests=2-")
        assert b"InternalServerError" in body

    def test_chance_is_the_same_in_every_run(self) -> None:
        def run(seed: int) -> list[str]:
            with FakeVllm("close:after=0,chance=0.5+finite:tokens=1", gap=0, seed=seed) as fake:
                for _ in range(12):
                    stream(fake, "", until=END)
                return [entry.end for entry in fake.requests]

        first = run(1)
        assert first == run(1)
        assert first != run(2)
        assert set(first) == {"finished", "closed"}


def is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
