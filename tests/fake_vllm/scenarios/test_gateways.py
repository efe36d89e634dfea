"""The faults of gateways and connections between a client and a vLLM, on the wire."""

import gzip
import itertools
import json
import re
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit

import httpx2
import pytest
from openai import APIStatusError, OpenAI, RateLimitError

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import arrivals, ask, chunks, events, read

END = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=8", gap=0.001) as fake:
        yield fake


@pytest.fixture(scope="module")
def openai(server: FakeVllm) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="-", max_retries=0) as client:
        yield client


def body(scenario: str, **more: object) -> dict[str, object]:
    return {
        "messages": [{"role": "user", "content": "Hi"}],
        "fake_scenario": scenario,
        "max_tokens": 20,
        **more,
    }


def post(server: FakeVllm, scenario: str, **headers: str) -> httpx2.Response:
    return shared_client().post(
        f"{server.base_url}/chat/completions", json=body(scenario), headers=headers
    )


@cache
def shared_client() -> httpx2.Client:
    return httpx2.Client(trust_env=False)


def plain(server: FakeVllm, scenario: str) -> bytes:
    """Everything that a stream says, without ids and times."""
    with ask(server, scenario) as connection:
        came = b"".join(chunks(read(connection, until=END)[1]))
    return re.sub(rb'"id":"[^"]+"|"created":\d+', b"", came)


class TestGateway:
    @pytest.mark.parametrize(
        ("product", "status", "reason", "says", "headers"),
        [
            ("nginx", 502, "Bad Gateway", "<hr><center>nginx/1.22.1</center>", {"length": "157"}),
            ("nginx", 503, "Service Temporarily Unavailable", "<h1>503 Serv", {"length": "197"}),
            ("nginx", 504, "Gateway Time-out", "<h1>504 Gateway Time-out", {"length": "167"}),
            ("nginx", 413, "Request Entity Too Large", "<h1>413", {"length": "183"}),
            ("haproxy", 503, "Service Unavailable", "No server is", {"length": "107"}),
            ("alb", 504, "Gateway Time-out", "Gateway Time-out", {"server": "awselb/2.0"}),
            ("envoy", 504, "Gateway Timeout", "upstream request timeout", {"server": "envoy"}),
            ("envoy", 503, "Service Unavailable", "connect error", {"type": "text/plain"}),
            ("cloudflare", 502, "Bad Gateway", "<center>cloudflare<", {"server": "cloudflare"}),
            ("cloudflare", 520, "", "520: Web server is returning", {"server": "cloudflare"}),
            ("cloudflare", 522, "", "| 522: Connection timed out", {"server": "cloudflare"}),
            ("cloudflare", 524, "", "127.0.0.1 | 524: A timeout occ", {"server": "cloudflare"}),
        ],
    )
    def test_each_product_has_its_own_page_and_headers(
        self,
        product: str,
        status: int,
        reason: str,
        says: str,
        headers: dict[str, str],
        server: FakeVllm,
    ) -> None:
        answer = post(server, f"gateway:product={product},status={status}")
        assert (answer.status_code, answer.reason_phrase) == (status, reason)
        assert says in answer.text
        found = {name.removeprefix("content-"): text for name, text in answer.headers.items()}
        assert headers.items() <= found.items()
        assert "uvicorn" not in str(answer.headers)
        assert ("cf-ray" in answer.headers) == (product == "cloudflare")
        entry = server.until_over()
        assert (entry.end, entry.status, entry.tokens) == ("refused", status, 0)

    @pytest.mark.parametrize("before", ["", "no_headers+", "stall:after=0+", "finite:tokens=2+"])
    def test_the_page_may_come_after_a_time_in_which_the_model_works(
        self, before: str, server: FakeVllm
    ) -> None:
        started = time.monotonic()
        with ask(server, f"{before}gateway:product=envoy,status=504,after=0.15") as connection:
            head, page = read(connection, until=b"upstream request timeout")
        assert 0.14 < time.monotonic() - started < 3
        assert (head[:12], page) == (b"HTTP/1.1 504", b"upstream request timeout")
        entry = server.until_over()
        assert entry.started is not None
        assert entry.slot_freed is not None

    def test_the_openai_client_reports_the_page(self, openai: OpenAI) -> None:
        with pytest.raises(APIStatusError) as caught:
            openai.chat.completions.create(
                model="fake-model",
                messages=[{"role": "user", "content": "Hi"}],
                extra_body={"fake_scenario": "gateway:product=cloudflare,status=524"},
            )
        assert caught.value.status_code == 524
        assert "524: A timeout occurred" in caught.value.response.text


class TestStale:
    @pytest.mark.parametrize("how", ["reset", "close"])
    def test_a_kept_connection_ends_when_its_next_request_arrives(
        self, how: str, server: FakeVllm
    ) -> None:
        with ask(server, f"stale:how={how}") as connection:
            head, _ = read(connection, until=END)
            assert b"connection: close" not in head
            connection.settimeout(0.05)
            with pytest.raises(TimeoutError):  # it is open until then
                connection.recv(1)
            connection.settimeout(5)
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            if how == "reset":
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
            else:
                assert connection.recv(1) == b""
        assert server.until_over().end == "finished"

    def test_a_pool_that_reuses_the_connection_learns_of_it_only_then(
        self, server: FakeVllm
    ) -> None:
        with httpx2.Client(trust_env=False) as client:
            url = f"{server.base_url}/chat/completions"
            assert client.post(url, json=body("stale")).status_code == 200
            with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
                client.post(url, json=body(""))


class TestRateLimit:
    def test_the_requests_of_a_key_beyond_the_burst_are_refused_until_the_bucket_fills(
        self, server: FakeVllm
    ) -> None:
        scenario = "rate_limit:requests=60,per=20,burst=2"
        first, second, third = (post(server, scenario, authorization="one") for _ in range(3))
        other = post(server, scenario, authorization="two")
        assert [each.status_code for each in (first, second, third, other)] == [200, 200, 429, 200]
        assert first.headers["x-ratelimit-limit-requests"] == "60"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert third.headers["x-ratelimit-remaining-requests"] == "0"
        assert third.headers["retry-after"] == "1"
        assert 0 < int(third.headers["retry-after-ms"]) <= 334
        assert third.json()["error"]["code"] == "rate_limit_exceeded"
        time.sleep(int(third.headers["retry-after-ms"]) / 1000)
        assert post(server, scenario, authorization="one").status_code == 200

    def test_tokens_are_counted_as_the_prompt_and_the_most_for_the_answer(
        self, server: FakeVllm
    ) -> None:
        scenario = "rate_limit:requests=0,tokens=30,per=60"
        first, second = post(server, scenario), post(server, scenario)
        cost = 30 - int(first.headers["x-ratelimit-remaining-tokens"])
        assert cost > 20  # max_tokens and the prompt
        assert "x-ratelimit-limit-requests" not in first.headers
        assert second.status_code == 429
        assert f"Requested {cost}" in second.json()["error"]["message"]
        assert int(second.headers["retry-after"]) >= 2 * cost - 30

    def test_the_openai_client_waits_as_it_is_asked_to(self, server: FakeVllm) -> None:
        with OpenAI(base_url=server.base_url, api_key="-", max_retries=2) as client:
            fast = {"fake_scenario": "rate_limit:requests=50,per=5,burst=1"}
            slow = {"fake_scenario": "rate_limit:requests=1,per=900"}
            for _ in range(2):
                client.completions.create(model="fake-model", prompt="Hi", extra_body=fast)
            eager = client.with_options(max_retries=0)
            eager.completions.create(model="fake-model", prompt="Hi", extra_body=slow)
            with pytest.raises(RateLimitError, match=r"try again in 1[45]m"):
                eager.completions.create(model="fake-model", prompt="Hi", extra_body=slow)


class TestServerSentEvents:
    @pytest.mark.parametrize("noise", ["", "tight=true,lines=true", "comments=false,ids=false"])
    def test_a_parser_that_keeps_to_the_standard_reads_the_same(
        self, noise: str, server: FakeVllm, openai: OpenAI
    ) -> None:
        with ask(server, f"sse_noise:{noise}") as connection:
            came = b"".join(chunks(read(connection, until=END)[1]))
        assert came.startswith(b"\xef\xbb\xbf")
        assert (b"\nid: 2\n" in came) == ("ids=false" not in noise)
        assert (b"data:{" in came) == ("tight" in noise)
        assert b"\nunknown: field\nfieldwithoutcolon\n" in came
        said = [
            b"\n".join(re.findall(rb"^data: ?(.*)$", event, re.MULTILINE))
            for event in came.removeprefix(b"\xef\xbb\xbf").split(b"\n\n")[:-1]
        ]
        words = [json.loads(data)["choices"] for data in said if data != b"[DONE]"]
        usual = [event[6:] for event in plain(server, "").split(b"\n\n")[:-2]]
        assert len(words) == len(usual)

    @pytest.mark.parametrize("part", ["field", "space"])
    def test_one_event_is_a_line_of_a_million_bytes(self, part: str, openai: OpenAI) -> None:
        stream = openai.chat.completions.create(
            model="fake-model",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            extra_body={"fake_scenario": f"big_event:after=3,part={part}"},
        )
        said = list(stream)
        assert len(said) == 1 + 8 + 1
        assert sum(len(str(getattr(each, "padding", ""))) > 999_000 for each in said) == (
            part == "field"
        )

    def test_the_big_line_has_the_length_that_was_named(self, server: FakeVllm) -> None:
        with ask(server, "big_event:after=2,bytes=70000,part=space") as connection:
            sizes = [len(each) + 2 for each in events(read(connection, until=END)[1])]
        assert sizes.count(70_000) == 1
        answer = post(server, "big_event:bytes=70000")
        assert len(answer.content) == 70_000
        assert answer.json()["choices"][0]["message"]["content"]

    @pytest.mark.parametrize(("done", "last"), [(True, b"data: [DONE]"), (False, b"data: {")])
    def test_an_error_in_a_stream_may_be_its_last_event(
        self, done: bool, last: bytes, server: FakeVllm
    ) -> None:
        with ask(server, f"error_event:after=2,done={done}") as connection:
            said = events(read(connection, until=END)[1])
        assert sum(b'"error"' in event for event in said) == 1
        assert said[-1].startswith(last)

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
    def test_a_cut_answer_may_look_complete(self, path: str, server: FakeVllm) -> None:
        with ask(server, "ends_early:after=3,finish=stop,done=true", path=path) as connection:
            *said, last, done = events(read(connection, until=END)[1])
        choice = json.loads(last[6:])["choices"][0]
        assert (choice["finish_reason"], done) == ("stop", b"data: [DONE]")
        assert not choice.get("delta")
        assert not choice.get("text")
        assert len(said) == 3 + ("chat" in path)

    @pytest.mark.parametrize("done", [True, False])
    def test_a_stream_without_a_finish_reason_may_have_its_done(
        self, done: bool, server: FakeVllm
    ) -> None:
        said = plain(server, f"ends_early:after=3,done={done}")
        assert said.endswith(b"data: [DONE]\n\n") is done
        assert b'finish_reason":"' not in said
        assert plain(server, f"finite:tokens=2+ends_early:after=3,done={done}").count(b"[DONE") == 1


class TestGzip:
    @pytest.mark.parametrize("flush", ["event", "end"])
    def test_a_stream_is_one_gzip_body_flushed_per_event_or_held_back(
        self, flush: str, server: FakeVllm
    ) -> None:
        with (
            httpx2.Client(trust_env=False) as client,
            client.stream(
                "POST",
                f"{server.base_url}/chat/completions",
                json=body(f"gzip:flush={flush}", stream=True),
            ) as answer,
        ):
            raw = list(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        unpacked = gzip.decompress(b"".join(raw))
        assert unpacked.count(b"data: ") == 1 + 8 + 1 + 1
        first = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(raw[0])
        assert (b'"role":"assistant"' in first) == (flush == "event" or len(raw) == 1)

    def test_only_a_client_that_accepts_gzip_gets_it(self, server: FakeVllm) -> None:
        for accepts, expected in (
            ("gzip, deflate", True),
            ("*", True),
            ("identity", False),
            ("gzip;q=0, *", False),
            ("", False),
        ):
            answer = post(server, "gzip", **{"accept-encoding": accepts})
            assert ("content-encoding" in answer.headers) is expected, accepts
            assert answer.json()["choices"][0]["message"]["content"]

    def test_an_error_is_not_compressed(self, server: FakeVllm) -> None:
        answer = post(server, "gzip+refuse:status=500", **{"accept-encoding": "gzip"})
        assert answer.status_code == 500
        assert "content-encoding" not in answer.headers
        stream = post(server, "gzip+error_event:after=2", **{"accept-encoding": "gzip"})
        assert "EngineCore" in stream.text


class TestTime:
    def test_the_bandwidth_is_a_bound_for_all_bytes(self, server: FakeVllm) -> None:
        with ask(server, "bandwidth:bytes=8000") as connection:
            came = list(arrivals(connection, until=END))
        size = sum(len(data) for _, data in came)
        assert came[-1][0] - came[0][0] > 0.6 * (size / 8000)
        assert max(len(data) for _, data in came) <= 8000 / 20 * 4
        assert chunks(b"".join(data for _, data in came).partition(b"\r\n\r\n")[2])[-1] == b""

    def test_the_fin_comes_long_after_the_last_byte(self, server: FakeVllm) -> None:
        with ask(server, "slow_close:seconds=0.3") as connection:
            came = list(arrivals(connection))
            closed = time.monotonic()
        data = b"".join(each for _, each in came)
        assert b"connection: close\r\n" in data
        assert data.endswith(END)
        assert 0.25 < closed - came[-1][0] < 3
        assert server.until_over().end == "finished"

    def test_each_running_sequence_slows_the_others(self, server: FakeVllm) -> None:
        def gap() -> float:
            with ask(server, "endless+load:gap=20,first_token=0") as connection:
                times = [at for at, _ in itertools.islice(arrivals(connection), 9)]
            return sorted(b - a for a, b in itertools.pairwise(times))[4]

        alone = gap()
        with ask(server, "endless") as one, ask(server, "endless") as other:
            for connection in (one, other):
                next(arrivals(connection))
            assert gap() > alone + 0.025

    def test_the_first_token_waits_longer_beside_others(self, server: FakeVllm) -> None:
        with ask(server, "endless") as busy:
            next(arrivals(busy))
            post(server, "load:first_token=200")
        entry = server.until_over()
        assert entry.first_token is not None
        assert entry.started is not None
        assert entry.first_token - entry.started > 0.19


class TestUpload:
    HEAD = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n%b\r\n"
    )

    def begin(self, server: FakeVllm, scenario: str, size: int, *more: bytes) -> socket.socket:
        address = urlsplit(server.root)
        connection = socket.create_connection((str(address.hostname), address.port or 0), timeout=5)
        lines = (
            b"content-length: %d" % size,
            b"x-fake-scenario: " + scenario.encode(),
            *more,
        )
        connection.sendall(self.HEAD % b"".join(line + b"\r\n" for line in lines))
        return connection

    @pytest.mark.parametrize(("after", "status"), [(0, 413), (5000, 503)])
    def test_an_answer_comes_before_the_body_was_read_and_the_rest_is_taken(
        self, after: int, status: int, server: FakeVllm
    ) -> None:
        scenario = f"upload:how=answer,after={after},status={status}"
        with self.begin(server, scenario, 1_000_000) as connection:
            connection.sendall(b" " * after)
            data = connection.recv(4096)
            assert data.startswith(b"HTTP/1.1 %d" % status)
            assert b"connection: close" in data
            connection.sendall(b" " * 500_000)
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):  # it is neither refused nor answered again
                connection.recv(1)
        entry = server.until_over()
        assert (entry.end, entry.status, entry.scenario) == ("refused", status, scenario)

    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_the_connection_ends_while_the_client_is_still_sending(
        self, how: str, server: FakeVllm
    ) -> None:
        with self.begin(server, f"upload:how={how},after=3000", 1_000_000) as connection:
            connection.sendall(b" " * 3000)
            if how == "close":
                assert connection.recv(1) == b""
            else:
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
        assert server.until_over().end == ("closed" if how == "close" else "reset")

    def test_a_server_may_read_slowly(self, server: FakeVllm) -> None:
        text = json.dumps(body("finite:tokens=1", pad="x" * 3000)).encode()
        with self.begin(server, "upload:how=slow,rate=10000", len(text)) as connection:
            started = time.monotonic()
            connection.sendall(text[:2000])
            time.sleep(0.05)
            connection.sendall(text[2000:])
            assert connection.recv(64).startswith(b"HTTP/1.1 200")
        assert 0.1 < time.monotonic() - started < 4

    @pytest.mark.parametrize(
        ("how", "first"), [("refuse_continue", b"HTTP/1.1 417"), ("no_continue", b"")]
    )
    def test_a_client_that_asks_to_continue_may_be_refused_or_left_waiting(
        self, how: str, first: bytes, server: FakeVllm
    ) -> None:
        text = json.dumps(body("finite:tokens=1")).encode()
        expect = b"expect: 100-continue"
        with self.begin(server, f"upload:how={how}", len(text), expect) as connection:
            connection.settimeout(0.1 if not first else 5)
            if first:
                assert connection.recv(64).startswith(first)
                return
            with pytest.raises(TimeoutError):
                connection.recv(64)
            connection.settimeout(5)
            connection.sendall(text)
            assert connection.recv(64).startswith(b"HTTP/1.1 200")

    @pytest.mark.parametrize(("how", "answers"), [("answer", 1), ("close", 0), ("reset", 0)])
    @pytest.mark.parametrize("after", [0, 2])
    @pytest.mark.parametrize("sent", ["length", "chunks", "pipelined"])
    def test_it_acts_once_however_much_came_in_one_packet(
        self, how: str, answers: int, after: int, sent: str, server: FakeVllm
    ) -> None:
        server.clear()
        scenario = f"upload:how={how},after={after}"
        lines = [b"content-length: 6", b"x-fake-scenario: " + scenario.encode()]
        text = b"abcdef"
        if sent == "chunks":
            lines[0] = b"transfer-encoding: chunked"
            text = b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
        request = self.HEAD % b"".join(line + b"\r\n" for line in lines) + text
        address = urlsplit(server.root)
        target = (str(address.hostname), address.port or 0)
        with socket.create_connection(target, timeout=5) as connection:
            connection.sendall(request * (3 if sent == "pipelined" else 1))
            connection.settimeout(0.3)
            got = b""
            with suppress(TimeoutError, ConnectionResetError):
                while data := connection.recv(65536):
                    got += data
        assert got.count(b"HTTP/1.1") == answers
        (entry,) = server.requests
        end = {"answer": "refused", "close": "closed", "reset": "reset"}[how]
        assert (entry.end, entry.attempt, entry.scenario) == (end, 1, scenario)

    def test_it_acts_under_the_path_of_a_root_path(self) -> None:
        with FakeVllm("upload:how=answer", root_path="/model") as fake:
            for path in ("/model/v1/chat/completions", "/v1/chat/completions"):
                answer = httpx2.post(fake.root + path, json={}, trust_env=False)
                assert answer.status_code == 413, path

    def test_it_acts_only_where_it_applies(self, server: FakeVllm) -> None:
        header = {"x-fake-scenario": "upload:how=reset,attempts=1"}
        with httpx2.Client(trust_env=False) as client:
            url = f"{server.base_url}/chat/completions"
            with pytest.raises(httpx2.TransportError):
                client.post(url, json=body(""), headers=header)
            message = {"messages": [{"role": "user", "content": "Hi"}]}
            assert client.post(url, json=message, headers=header).status_code == 200

    def test_in_the_body_it_is_refused_with_a_sentence(self, server: FakeVllm) -> None:
        answer = post(server, "upload")
        assert answer.status_code == 400
        assert "x-fake-scenario" in answer.json()["error"]["message"]
