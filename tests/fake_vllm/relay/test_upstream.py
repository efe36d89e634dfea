"""A fake in front of another server: what passes, and what changes."""

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import pytest
from openai import InternalServerError, OpenAI

from fake_vllm.cli import main
from fake_vllm.relay.address import Address
from fake_vllm.relay.sse import EventSplitter, tokens_in
from fake_vllm.testing import FakeVllm, FakeVllmError
from tests.fake_vllm.conftest import Certificates
from tests.fake_vllm.raw import arrivals, ask, read

END = b"0\r\n\r\n"
KEY = "sk-a-key-that-must-stay-hidden"


@pytest.fixture(scope="module")
def real() -> Iterator[FakeVllm]:
    """Stands in for the real server."""
    with FakeVllm("finite:tokens=8", gap=0.002, model="mine", api_key=KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def shared(real: FakeVllm) -> Iterator[FakeVllm]:
    with FakeVllm(upstream=real.base_url) as fake:
        yield fake


@pytest.fixture
def front(real: FakeVllm, shared: FakeVllm) -> FakeVllm:
    real.reset()
    shared.reset()
    return shared


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False, headers={"authorization": f"Bearer {KEY}"}) as client:
        yield client


def body(scenario: str = "", **more: object) -> dict[str, object]:
    named = {"fake_scenario": scenario} if scenario else {}
    return {"messages": [{"role": "user", "content": "Hi"}], "stream": True, **named, **more}


def post(
    http: httpx2.Client, fake: FakeVllm, scenario: str = "", **more: object
) -> httpx2.Response:
    return http.post(f"{fake.base_url}/chat/completions", json=body(scenario, **more))


def same(text: str) -> str:
    return re.sub(r'"id":"[^"]+"|"created":\d+', "", text)


class TestPassingOn:
    @pytest.mark.parametrize("stream", [True, False])
    def test_an_answer_is_the_upstreams(
        self, stream: bool, front: FakeVllm, real: FakeVllm, http: httpx2.Client
    ) -> None:
        through, direct = (post(http, each, stream=stream) for each in (front, real))
        assert same(through.text) == same(direct.text)
        names = ("content-type", "server", "content-length", "transfer-encoding")
        assert [through.headers.get(name) for name in names] == [
            direct.headers.get(name) for name in names
        ]
        assert front.until_over().end == "finished"
        assert front.requests[-1].tokens == (8 + 2 if stream else 9)

    def test_body_headers_and_key_reach_the_upstream_and_the_scenario_does_not(
        self, front: FakeVllm, real: FakeVllm, http: httpx2.Client
    ) -> None:
        odd = {"x-mine": "1", "x-fake-scenario": "crlf"}
        http.post(
            f"{front.base_url}/chat/completions?version=2", json=body("crlf", user="é"), headers=odd
        )
        seen = real.until_over()
        assert seen.json == body(user="é")
        assert seen.request_headers["authorization"] == "removed"  # the ledger shows no key
        assert seen.request_headers["x-mine"] == "1"
        assert seen.request_headers["accept-encoding"] == "identity"
        assert "x-fake-scenario" not in seen.request_headers

    @pytest.mark.parametrize(
        ("text", "status"),
        [
            ("[" * 100_000, 400),
            ('{"fake_scenario": 3}', 400),
            ('{"fake_scenario": "crlf", "model": "\\ud800", "messages": []}', 404),
            ("", 400),
        ],
    )
    def test_any_body_gets_an_answer(
        self, text: str, status: int, front: FakeVllm, http: httpx2.Client
    ) -> None:
        answer = http.post(
            f"{front.base_url}/chat/completions",
            content=text,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == status, answer.text
        assert "has a fault" not in answer.text

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
    def test_a_body_that_a_page_of_any_site_may_send_chooses_no_scenario(
        self, kind: str | None, front: FakeVllm, real: FakeVllm, http: httpx2.Client
    ) -> None:
        headers = {"origin": "http://evil.example"} | ({"content-type": kind} if kind else {})
        for server, named in (
            (front, "refuse:status=418"),
            (real, "refuse:status=418"),
            (front, ""),
        ):
            answer = http.post(
                f"{server.base_url}/chat/completions",
                content=json.dumps(body(named)),
                headers=headers,
            )
            assert answer.status_code == 400
            assert "Only 'application/json' is allowed" in answer.text
        assert {each.scenario for each in front.requests} == {"", "finite"}

    def test_the_key_is_neither_in_the_ledger_nor_in_a_log(
        self, front: FakeVllm, http: httpx2.Client
    ) -> None:
        post(http, front)
        assert front.until_over().request_headers["authorization"] == "removed"
        assert KEY not in http.get(f"{front.root}/ledger").text

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v1/models", 200),
            ("GET", "/health", 200),
            ("HEAD", "/health", 405),
            ("GET", "/metrics", 200),
            ("POST", "/tokenize", 200),
            ("GET", "/v1/nothing%20here?x=1", 404),
        ],
    )
    def test_other_routes_are_the_upstreams_too_and_play_no_scenario(
        self,
        method: str,
        path: str,
        status: int,
        front: FakeVllm,
        real: FakeVllm,
        http: httpx2.Client,
    ) -> None:
        front.play("refuse:status=503,times=0")
        sent = {"model": "mine", "prompt": "Hi"} if method == "POST" else None
        through, direct = (
            http.request(method, f"{each.root}{path}", json=sent) for each in (front, real)
        )
        assert through.status_code == direct.status_code == status
        if "metrics" not in path:
            assert re.sub(r"\d{9,}|modelperm-\w+", "", through.text) == re.sub(
                r"\d{9,}|modelperm-\w+", "", direct.text
            )

    def test_an_error_of_the_upstream_passes(self, front: FakeVllm, http: httpx2.Client) -> None:
        wrong = post(http, front, model="nope")
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (404, "NotFoundError")
        with httpx2.Client(trust_env=False) as without_key:
            assert post(without_key, front).status_code == 401

    def test_the_openai_client_works_through_it(self, front: FakeVllm) -> None:
        with OpenAI(base_url=front.base_url, api_key=KEY, max_retries=0) as client:
            said = client.chat.completions.create(
                model="mine", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            assert len(list(said)) == 1 + 8 + 1
            front.play("error_event:after=2")
            with pytest.raises(Exception, match="EngineCore encountered"):
                list(
                    client.chat.completions.create(
                        model="mine", messages=[{"role": "user", "content": "Hi"}], stream=True
                    )
                )


class TestScenarios:
    def through(self, front: FakeVllm, scenario: str) -> bytes:
        with ask_with_key(front, scenario) as client:
            try:
                return b"".join(data for _, data in arrivals(client, until=END))
            except ConnectionResetError:
                return b"RST"

    @pytest.mark.parametrize(
        ("scenario", "expects", "end"),
        [
            ("close:after=3", lambda data: data.count(b"data: ") == 3, "closed"),
            ("reset:after=0", lambda data: data in (b"", b"RST"), "reset"),
            ("crlf", lambda data: data.count(b"\r\n\r\n\r\n") >= 10, "finished"),
            ("split:every=0.0001", lambda data: data.endswith(END), "finished"),
            ("buffer", lambda data: data.endswith(END), "finished"),
            ("burst:tokens=4", lambda data: data.endswith(END), "finished"),
            ("trickle:bytes=200,every=0.001", lambda data: data.endswith(END), "finished"),
            ("bandwidth:bytes=30000", lambda data: data.endswith(END), "finished"),
            ("no_done", lambda data: b"[DONE]" not in data, "finished"),
            ("ends_early:after=3,done=true", lambda data: data.count(b"data: ") == 4, "finished"),
            ("sse_noise", lambda data: b"\xef\xbb\xbf" in data, "finished"),
            ("big_event:bytes=5000", lambda data: b"xxxxxxx" in data, "finished"),
            ("duplicate", lambda data: data.count(b"data: ") == 12, "finished"),
            ("wrong_model", lambda data: b"another-model" in data, "finished"),
            ("malformed", lambda data: data.endswith(END), "finished"),
            ("gateway:product=envoy,status=504", lambda data: b"504" in data[:12], "refused"),
            ("gateway:status=502,after=0.05", lambda data: b"nginx" in data, "refused"),
            ("refuse:status=429,times=0", lambda data: b"429" in data[:12], "refused"),
            ("rate_limit:requests=9", lambda data: b"x-ratelimit-remaining" in data, "finished"),
            ("time_limit:seconds=0.01", lambda data: END not in data, "closed"),
            ("error_event:after=1", lambda data: b"EngineCore" in data, "failed"),
            ("stale", lambda data: data.endswith(END), "finished"),
            ("finite", lambda data: data.count(b"data: ") == 11, "finished"),
        ],
    )
    def test_a_scenario_of_delivery_plays_in_front(
        self, scenario: str, expects: Any, end: str, front: FakeVllm
    ) -> None:
        data = self.through(front, scenario)
        assert expects(data), data
        assert front.until_over().end == end

    @pytest.mark.parametrize(
        "scenario", ["stall:after=3", "no_headers", "keep_alive:after=3,every=0.02", "half_event"]
    )
    def test_the_upstream_is_let_go_at_once_when_the_client_leaves(
        self, scenario: str, front: FakeVllm, real: FakeVllm
    ) -> None:
        real.play("endless")
        with ask_with_key(front, scenario) as client:
            real.until_started()
            client.settimeout(0.05)
        mine = front.until_over()
        theirs = real.until_freed()
        assert (mine.end, theirs.end) == ("client left", "client left")
        assert mine.client_left is not None
        assert theirs.client_left is not None
        assert theirs.client_left - mine.client_left < 1.0
        assert mine.slot_freed is not None

    @pytest.mark.parametrize(
        ("scenario", "end"), [("close:after=3", "closed"), ("reset:after=3", "reset")]
    )
    @pytest.mark.parametrize("stream", [True, False])
    def test_an_upstream_that_breaks_off_is_seen_as_it_was(
        self,
        stream: bool,
        scenario: str,
        end: str,
        front: FakeVllm,
        real: FakeVllm,
        http: httpx2.Client,
    ) -> None:
        real.play(scenario)
        with pytest.raises(httpx2.TransportError):
            post(http, front, stream=stream)
        assert front.until_over().end == end

    @pytest.mark.parametrize(
        "scenario",
        ["endless", "repeat", "think", "finite:tokens=3", "echo", "crlf+endless", "engine_death"],
    )
    def test_a_scenario_that_needs_a_model_is_refused_with_a_sentence(
        self, scenario: str, front: FakeVllm, http: httpx2.Client
    ) -> None:
        answer = post(http, front, scenario)
        assert answer.status_code == 400
        assert "needs the fake's own model" in answer.json()["error"]["message"]
        with pytest.raises(FakeVllmError, match="needs the fake's own model"):
            front.play(scenario)
        with pytest.raises(FakeVllmError, match="needs the fake's own model"):
            front.when(stream=True).play(scenario)

    def test_a_rule_with_words_is_refused_and_one_with_a_scenario_plays(
        self, front: FakeVllm, http: httpx2.Client
    ) -> None:
        with pytest.raises(FakeVllmError, match="Give the rule only a scenario"):
            front.when(prompt="Hi").answer("no")
        front.when(prompt="Hi", turn=1, stream=False).play("refuse:status=418,times=0")
        assert post(http, front, stream=False).status_code == 418
        assert post(http, front).status_code == 200

    def test_a_slow_client_makes_the_upstream_wait(self, front: FakeVllm, real: FakeVllm) -> None:
        with ask_with_key(front, "bandwidth:bytes=1000") as client:
            client.recv(100)
            entry = front.until_started()
            assert entry.tokens < 5


@contextmanager
def ask_with_key(front: FakeVllm, scenario: str) -> Iterator[socket.socket]:
    host, _, port = front.root.partition("://")[2].rpartition(":")
    text = json.dumps(body(scenario)).encode()
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
            b"connection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (KEY.encode(), len(text), text)
        )
        yield client


@pytest.fixture(scope="module")
def any_form() -> Iterator[FakeVllm]:
    """In front of a server that sends the body of each request as its events."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, connection.makefile("rb") as asked:
                        size = 0
                        while (header := asked.readline()) != b"\r\n":
                            name, _, value = header.lower().partition(b":")
                            size = int(value) if name == b"content-length" else size
                        events = asked.read(size)
                        connection.sendall(
                            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                        )
                        connection.sendall(events)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with FakeVllm(upstream=url) as front:
            yield front
        listening.shutdown(socket.SHUT_RDWR)


class TestOddUpstreams:
    @contextmanager
    def answering(self, *parts: bytes, pause: float = 0.0) -> Iterator[str]:
        """A server that sends these bytes to one client and closes."""
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve() -> None:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(pause)

            thread = threading.Thread(target=serve)
            thread.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1/"
            thread.join(5)

    @pytest.mark.parametrize(
        ("parts", "status", "says"),
        [
            ([b"HTTP/1.1 200 OK\r\n\r\n", b"until the end"], 200, b"until the end"),
            ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"], 204, b""),
            (
                [
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n"
                    b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
                    b"3\r\n\n{}\r\n0\r\n\r\n",
                ],
                200,
                b"{}\n{}",
            ),
            (
                [
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                    b"connection: close\r\n\r\ndata: a\r\n",
                    b"\r\n: c\r\n\r\ndata: [DONE]\r\n\r\n",
                ],
                200,
                b"data: a\r\n\r\n: c\r\n\r\ndata: [DONE]\r\n\r\n",
            ),
            ([b"SSH-2.0-OpenSSH_9.2\r\n"], 502, b"does not speak HTTP"),
        ],
    )
    def test_any_framing_is_read(
        self, parts: list[bytes], status: int, says: bytes, http: httpx2.Client
    ) -> None:
        with self.answering(*parts, pause=0.02) as url, FakeVllm(upstream=url) as front:
            answer = post(http, front)
        assert answer.status_code == status
        assert says in answer.content if status == 502 else says == answer.content

    @pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\r"])
    @pytest.mark.parametrize("colon", [b":", b": "])
    def test_scenarios_read_events_in_every_form_of_the_standard(
        self, colon: bytes, line: bytes, any_form: FakeVllm, http: httpx2.Client
    ) -> None:
        said = [b'{"id": "chatcmpl-1","model": "m","n":%d}' % number for number in range(3)]
        stream = b"".join(
            b"event: e%bdata%b%b%b%b" % (line, colon, data, line, line)
            for data in [*said, b"[DONE]"]
        )
        found = {}
        for scenario in (
            *("crlf", "no_done", "malformed:after=1", "wrong_model", "wrong_ids:after=0"),
            *("big_event:after=1,bytes=900", "sse_noise:lines=true", "close:after=2"),
        ):
            try:
                found[scenario] = http.post(
                    f"{any_form.base_url}/chat/completions",
                    content=stream,
                    headers={"x-fake-scenario": scenario},
                ).content
            except httpx2.TransportError:
                found[scenario] = b"broke off"
        assert found.pop("close:after=2") == b"broke off"
        lines = {name: re.split(rb"\r\n|\r|\n", data) for name, data in found.items()}
        assert found["crlf"].count(b"\r\n") == found["crlf"].count(b"\n") == 4 * 3
        assert b"[DONE]" not in found["no_done"]
        assert found["malformed:after=1"].count(b"}") == 2
        assert found["wrong_model"].count(b'"another-model"') == 3
        assert b"chatcmpl-1" not in found["wrong_ids:after=0"]
        assert max(map(len, lines["big_event:after=1,bytes=900"])) > 850
        assert lines["sse_noise:lines=true"].count(b"event: e") == 4
        assert (
            found["sse_noise:lines=true"].count(b"}") == 4 + 3
        )  # the comments of the noise have braces

    @pytest.mark.parametrize("host", ["127.0.0.1:9", f"{'a' * 80}.com"])
    def test_an_upstream_that_is_not_there_is_a_502_with_a_sentence(self, host: str) -> None:
        with FakeVllm(upstream=f"http://{host}") as front:
            with OpenAI(base_url=front.base_url, api_key=KEY, max_retries=0, timeout=5) as client:
                with pytest.raises(InternalServerError, match="Is the server there"):
                    client.models.list()
                with pytest.raises(InternalServerError, match="cannot be reached"):
                    client.completions.create(model="m", prompt="Hi")
            assert front.until_over().end == "failed"

    def test_tls_trusts_the_file_that_ssl_cert_file_names(
        self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        trusted = tmp_path / "ca.pem"
        trusted.write_text(
            "".join(
                ssl.DER_cert_to_PEM_cert(der)
                for der in certificates.trusting.get_ca_certs(binary_form=True)
            )
        )
        files: dict[str, Any] = {
            "ssl_certfile": certificates.certificate,
            "ssl_keyfile": certificates.key,
        }
        with FakeVllm("finite:tokens=2", **files) as real:
            for file, status in ((trusted, 200), (None, 502)):
                monkeypatch.setenv("SSL_CERT_FILE", str(file or tmp_path / "none.pem"))
                with FakeVllm(upstream=real.root) as front, ask(front, "") as client:
                    head, _ = read(client, until=END if file else b"}}")
                assert head.startswith(b"HTTP/1.1 %d" % status)


@pytest.mark.parametrize(
    ("url", "prefix", "authority"),
    [
        ("http://127.0.0.1:8000", "", "127.0.0.1:8000"),
        ("http://gpu:80/v1/", "", "gpu"),
        ("https://router.example/api/v1", "/api", "router.example"),
        ("https://[::1]:443/openai", "/openai", "[::1]"),
    ],
)
def test_an_address_may_have_the_v1_of_clients_or_not(
    url: str, prefix: str, authority: str
) -> None:
    address = Address.parse(url)
    assert (address.prefix, address.authority) == (prefix, authority)


@pytest.mark.parametrize(
    "url",
    [
        *("htp://u:SECRET@gpu", "http://u:SECRET@gpu:x", "u:SECRET@gpu:8000", "u:SEC?RET@gpu"),
        *("//u:SECRET@gpu/v1", "htp://gpu?key=SECRET", "htp://gpu#SECRET", "SEC/RET@gpu:x"),
    ],
)
def test_an_address_that_is_refused_is_repeated_without_user_and_query(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--port", "0", "--upstream", url], ["record", url, "--out", "none.json"]):
        with pytest.raises(SystemExit):
            main(arguments)
        errors = capsys.readouterr().err
        assert "gpu" in errors
        assert "SEC" not in errors
        assert "RET" not in errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--upstream", "gpu:8000"], "write it as http://host:8000"),
        (["--upstream", "http://u:p@gpu"], "no user"),
        (["--upstream", "http://gpu", "--replay", "x"], "exclude each other"),
        (["--record", "x"], "--record needs --upstream"),
        (["--upstream", "http://gpu", "--scenario", "endless"], "needs the fake's own model"),
        (["--upstream", "http://gpu", "--rules", '{"say": "x"}'], "Give the rule only a scenario"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", *arguments])
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert says in errors
    assert errors.count("\n") == 1


def test_events_are_split_at_every_kind_of_blank_line_wherever_bytes_are_cut() -> None:
    stream = b"data: a\n\n: c\r\n\r\ndata:b\rid: 1\r\rdata: [DONE]\n\nhalf"
    whole = [b"data: a\n\n", b": c\r\n\r\n", b"data:b\rid: 1\r\r", b"data: [DONE]\n\n"]
    for size in (1, 2, 3, 7, 100):
        splitter = EventSplitter()
        found = [
            event
            for start in range(0, len(stream), size)
            for event in splitter.feed(stream[start : start + size])
        ]
        assert (found, splitter.rest) == (whole, b"half")
    assert [tokens_in(event) for event in whole] == [1, 0, 1, 0]
