"""No key of a client is kept, and no text acts as a command."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
import pytest

from fake_vllm.asked import AskedRequests
from fake_vllm.cli import main
from fake_vllm.http.gateway_pages import page
from fake_vllm.redaction import (
    is_secret,
    pieces_without,
    query_without_secrets,
    secrets_of,
    without,
)
from fake_vllm.relay.recorded import RecordedExchange, load
from fake_vllm.response.recording import Recording, RecordingError, record
from fake_vllm.terminal import printable
from fake_vllm.testing import FakeVllm, FakeVllmError

CANARY = "sk-canary-0123456789"
HEADERS = {
    "authorization": f"Bearer {CANARY}-a",
    "x-api-key": f"{CANARY}-b",
    "api-key": f"{CANARY}-c",
    "cookie": f"session={CANARY}-d; theme=dark",
    "proxy-authorization": f"Basic {CANARY}-e",
    "x-auth-token": f'{CANARY}-f "quoted" é',
    "x-goog-api-key": f"{CANARY}-g",
    "x-request-id": f"r-{CANARY}-a",
}
QUERY = (
    f"api_key={CANARY}-h&key={CANARY}-i&access_token={CANARY}-j%3D%3D&sig=canary"
    "&max_tokens=7&x=%C3%A4"
)
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "user": f"{CANARY}-a"}


class Pair(NamedTuple):
    """A proxy that records, the server behind it, and the files that they write."""

    front: FakeVllm
    real: FakeVllm
    files: list[Path]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both servers, after requests with the canary wherever a client can put a key."""
    root = tmp_path_factory.mktemp("canary")
    folder, logs = root / "recordings", [root / "real.log", root / "front.log"]
    with (
        FakeVllm("finite:tokens=2", gap=0, access_log=logs[0], max_body_mb=0.01) as real,
        FakeVllm("crlf", upstream=real.root, record=folder, access_log=logs[1]) as front,
        httpx2.Client(trust_env=False) as client,
    ):
        sent = [(name.encode(), text.encode()) for name, text in HEADERS.items()]
        for server in (front, real):
            for path, body in {
                "/v1/chat/completions": CHAT,
                "/v1/completions": {"prompt": "Hi", "stream": True, "max_tokens": 2},
                "/v1/messages": CHAT,
                "/v1/responses": {"input": "Hi", "model": "nope"},
                "/invocations": {"prompt": "Hi", "fake_scenario": "nope"},
                "/v1/nowhere": {},
                f"/v1/{CANARY}-b": {},
                f"/v1/{CANARY}-b".replace("-", "%2D"): {},
                "/tokenize": {"prompt": "x" * 20_000},
            }.items():
                client.post(f"{server.root}{path}?{QUERY}", json=body, headers=sent)
            client.get(f"{server.root}/v1/models?{QUERY}", headers=sent)
            client.get(f"{server.root}/v1/models/?{QUERY}", headers=sent)
        yield Pair(front, real, [*logs, folder])


def written(files: list[Path]) -> Iterator[str]:
    for file in files:
        yield from (one.read_text() for one in (file.iterdir() if file.is_dir() else [file]))


def test_logs_and_recordings_have_no_key_of_a_client(asked: Pair) -> None:
    texts = list(written(asked.files))
    assert len(texts) > 8
    assert sum(text.count("removed") for text in texts) > 100
    for text in texts:
        assert "canary" not in text
    logs = texts[0] + texts[1]
    assert "&max_tokens=7&x=%C3%A4 HTTP/1.1" in logs  # the rest of a query stays


@pytest.mark.parametrize("which", ["front", "real"])
def test_no_route_shows_a_key_of_a_client(which: str, asked: Pair) -> None:
    server: FakeVllm = getattr(asked, which)
    requests = server.requests
    assert len(requests) >= 6
    for request in requests:
        assert request.request_headers["x-api-key"] == "removed"
        shown = [request.body, repr(request), repr(request._fetched), repr(request.request_headers)]
        assert "canary" not in "".join(shown)
    sent = requests[0]
    assert sent.json == {**CHAT, "user": "removed"}
    assert sent.request_headers["host"]
    with httpx2.Client(base_url=server.root, trust_env=False) as client:
        for path in ("/ledger", "/metrics", "/scenario", "/rules", "/", "/openapi.json"):
            assert "canary" not in client.get(path).text, path
        with client.stream("GET", "/ledger/events") as live:
            lines = live.iter_lines()
            for _ in requests:
                assert "canary" not in next(line for line in lines if "scenario" in line)
    assert "canary" not in server.errors


def test_a_rule_still_looks_at_the_key(asked: Pair) -> None:
    asked.real.when(headers={"authorization": CANARY}).answer("It came.")
    with httpx2.Client(trust_env=False) as client:
        key = {"authorization": f"Bearer {CANARY}"}
        answer = client.post(f"{asked.real.base_url}/chat/completions", json=CHAT, headers=key)
    assert "It" in answer.text


def test_headers_and_parameters_with_secrets_are_known_by_their_names() -> None:
    for name in ("Api-Key", "api_key", "Set-Cookie", "X-Amz-Security-Token", "openai-project"):
        assert is_secret(name), name
    for name in (
        "content-type",
        "x-ratelimit-limit-tokens",
        "max_tokens",
        "x-request-id",
        "monkey",
    ):
        assert not is_secret(name), name
    assert query_without_secrets("key=a&sig=b&code=c&q=d&flag&=e") == (
        "key=removed&sig=removed&code=removed&q=d&flag&=e"
    )
    assert query_without_secrets("%6Bey=a&k%65y=b") == "%6Bey=removed&k%65y=removed"
    assert secrets_of({"authorization": "Bearer tiny"}) == ["Bearer tiny"]
    quoted = 'a "quoted" key/é'
    for text in (quoted, json.dumps(quoted), "?q=a%20%22quoted%22%20key%2F%C3%A9"):
        assert "quoted" not in without(text, [quoted])


def test_a_key_that_nearly_stands_everywhere_costs_little() -> None:
    began = time.process_time()
    assert pieces_without([b"a" * 2**22], ["a" * 60_000 + "b"])[0].endswith(b"removed")
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "written", [r"sk-abcdefgh\/ijkl", "sk-abcdefgh%2Fijkl", "sk-abcdefgh%2fijkl"]
)
def test_a_key_with_a_slash_is_found_as_others_write_it(written: str) -> None:
    assert pieces_without([written.encode()], ["sk-abcdefgh/ijkl"]) == [b"removed"]
    assert without(f"key {written}", ["sk-abcdefgh/ijkl"]) == "key removed"


def test_each_piece_of_a_body_keeps_its_place_without_its_part_of_a_key() -> None:
    key, *pieces = b"sk-canary-1", b"a sk-ca", b"nar", b"y-1 b", b"", b"sk-canary-1sk-canary-1"
    assert pieces_without(pieces, [key.decode()]) == [b"a removed", b"", b" b", b"", b"removed" * 2]
    assert pieces_without([b"a sk-c", b"anary-"], [key.decode()]) == [b"a removed", b""]  # cut off
    assert pieces_without([b"a sk-", b"can"], [key.decode()]) == [b"a sk-", b"can"]  # too short
    both = ["abcdefgh", "efghijkl"]
    assert pieces_without([b"abcd", b"efghijkl"], both) == [b"removed", b""]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        before, after = (each.encode(encoding) for each in ("a sk-canary-1 b", "a removed b"))
        assert pieces_without([before], [key.decode()]) == [after], encoding
    written = "sk-canary-é"
    read = written.encode().decode("latin-1")  # as headers are read
    for form in (written, json.dumps(written)[1:-1], "sk-canary-%C3%A9"):
        assert pieces_without([form.encode()], [read]) == [b"removed"], form
    assert pieces_without([written.encode("latin-1")], [written]) == [b"removed"]


SPLIT_KEY = f"{CANARY}-a"  # that of the header authorization


def cut(text: bytes, *places: bytes) -> list[bytes]:
    """The pieces of a text, which is cut before each of these places."""
    pieces = [text]
    for place in places:
        before, _, after = pieces.pop().partition(place)
        pieces += [before, place + after]
    return pieces


UNAUTHORIZED = (b'{"error":{"message":"Incorrect API key provided: %b. Try another."}}' % SPLIT_KEY.encode())  # fmt: skip
EVENTS = b"data: a\n\ndata: You sent %b.\n\ndata: [DONE]\n\n" % SPLIT_KEY.encode()
ASKED = json.dumps(CHAT).encode()
ODDLY_ASKED = b'\xff{"user":"%b"}' % SPLIT_KEY.encode()
WIDELY_ASKED = json.dumps(CHAT).encode("utf-16")


class Row(NamedTuple):
    """A body of a client, and the pieces in which a server answers."""

    asked: bytes
    pieces: Sequence[bytes]
    kind: bytes = b"application/json"
    lacking: int = 0
    status: int = 401


ROWS = {
    "an error that came in two pieces": Row(ASKED, cut(UNAUTHORIZED, b"ary-0")),
    "an error that came byte by byte": Row(ASKED, [bytes([each]) for each in UNAUTHORIZED]),
    "events that came in three pieces": Row(ASKED, cut(EVENTS, b"nary", b"89-a"), b"text/event-stream"),
    "an answer that is not UTF-8": Row(ASKED, cut(b"\xff" + UNAUTHORIZED, b"canary")),
    "an answer that ends inside the key": Row(ASKED, cut(UNAUTHORIZED.partition(b"-a.")[0], b"ary"), lacking=9),
    "a body that is not UTF-8": Row(ODDLY_ASKED, [b"{}"]),
    "a body in UTF-16": Row(WIDELY_ASKED, [UNAUTHORIZED.decode().encode("utf-16")]),
}  # fmt: skip


@contextmanager
def answering(row: Row) -> Iterator[str]:
    """The address of a server that answers every request in these pieces."""
    size = sum(map(len, row.pieces)) + row.lacking

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not connection.recv(65536).endswith(row.asked[-1:]):
                pass
            head = b"HTTP/1.1 %d Said\r\ncontent-type: %b\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % (row.status, row.kind, size))
            for piece in row.pieces:
                time.sleep(0.2 / len(row.pieces))
                connection.sendall(piece)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=listening.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def bodies(exchange: RecordedExchange) -> list[bytes]:
    """The bodies of a request and of its answer."""
    return [exchange.request.body.data, b"".join(each.data for each in exchange.response.chunks)]


def post(server: FakeVllm, key: str, body: bytes) -> tuple[int, str | None, bytes]:
    """An answer: its status, its declared length, and as much as came."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    came = b""
    with httpx2.Client(trust_env=False) as client, contextlib.suppress(httpx2.RemoteProtocolError):
        url = f"{server.base_url}/{key}/chat/completions"
        with client.stream("POST", url, content=body, headers=headers) as answer:
            for part in answer.iter_raw():
                came += part
    return answer.status_code, answer.headers.get("content-length"), came


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_recording_has_no_key_however_a_body_came_and_is_replayed(
    row: Row, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    with (
        answering(row) as address,
        FakeVllm("crlf", upstream=address, record=folder) as front,
    ):
        _, _, came = post(front, SPLIT_KEY, row.asked)
        assert came.replace(b"\r\n", b"\n") == b"".join(row.pieces)  # the client itself gets all
    (file,) = folder.iterdir()
    exchange = load(file)
    for text in (file.name, file.read_text(), *map(repr, bodies(exchange))):
        assert "canary" not in text.replace("\\x00", "").replace("\\u0000", "")
    asked, answered = bodies(exchange)
    assert b"removed" in asked.replace(b"\0", b"")
    length = str(len(answered) + row.lacking)
    assert ("Content-Length", length) in exchange.response.headers
    times = [each.at_ms for each in exchange.response.chunks]
    assert times == sorted(times)
    assert len(times) == 1 or times[-1] - times[0] > 20
    with FakeVllm(replay=folder) as fake:
        other = "another-key-of-another-client"
        again = row.asked.replace(SPLIT_KEY.encode(), other.encode())
        again = again.replace(SPLIT_KEY.encode("utf-16-le"), other.encode("utf-16-le"))
        declared = None if row.kind == b"text/event-stream" else length
        assert post(fake, other, again) == (401, declared, answered)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_ledger_shows_no_key_of_a_body_in_any_encoding(encoding: str) -> None:
    kept = AskedRequests()
    sent: Any = type("Sent", (), {})()
    sent.method, sent.path, sent.query, sent.query_string = "POST", "/v1", {}, ""
    sent.repeated = ()
    sent.headers = HEADERS
    sent.body = b"\xff" * 4 + json.dumps(CHAT).encode(encoding)
    kept.keep(1, sent)
    found = kept.find(1)
    assert found is not None
    body = found.as_json()["body"].replace("\0", "")
    assert "canary" not in body
    assert "removed" in body


def test_the_ledger_cleans_a_query_as_the_access_log_does() -> None:
    kept = AskedRequests()
    sent: Any = type("Sent", (), {})()
    sent.method, sent.path, sent.headers, sent.body = "POST", "/v1", {"x-api-key": CANARY}, b""
    sent.query_string = f"a=1;key=short1&{CANARY}=1&b=c+d%26"
    sent.repeated = ()
    kept.keep(1, sent)
    found = kept.find(1)
    assert found is not None
    assert found.as_json()["query"] == {"a": "1;key=removed", "removed": "1", "b": "c d&"}


def test_a_kept_request_prints_no_key() -> None:
    kept = AskedRequests()
    sent: Any = type("Sent", (), {})()
    sent.method, sent.path, sent.query, sent.body = "POST", "/v1", {"key": CANARY}, CANARY.encode()
    sent.headers, sent.query_string = HEADERS, f"key={CANARY}"
    sent.repeated = ()
    kept.keep(1, sent)
    assert CANARY not in repr(kept.find(1))


@pytest.mark.parametrize(
    ("url", "key", "model", "says"),
    [
        ("{base}", CANARY, CANARY, "The model `removed` does not exist"),
        ("{base}", f"{CANARY}\x7f", None, "a character that a header cannot have"),
        ("{base}", f"{CANARY}é", None, "a character that a header cannot have"),
        ("http://user:{key}@127.0.0.1:9/v1", "-", None, "no user, query or fragment"),
        ("http://127.0.0.1:9/v1?key={key}", "-", None, "no user, query or fragment"),
    ],
)
def test_an_error_of_record_repeats_no_key(
    url: str, key: str, model: str | None, says: str, asked: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    address = url.format(base=asked.real.base_url, key=CANARY)
    with pytest.raises(RecordingError) as raised:
        record(address, model=model, prompt="Hi", max_tokens=2)
    assert says in str(raised.value)
    assert "canary" not in str(raised.value)


def test_a_recorded_stream_has_no_key_though_the_model_repeats_it_word_by_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    said = "".join(
        f"data: {json.dumps({'choices': [{'delta': {'content': word}}]})}\n\n"
        for word in ("You sent ", CANARY[:7], CANARY[7:12], CANARY[12:] + ", \ud800", " and - too.")
    )
    said += f"data: {json.dumps({'choices': [{'finish_reason': f'bad key {CANARY}'}]})}\n\n"
    events = Row(b"}", [said.encode()], b"text/event-stream", status=200)
    with answering(events) as address:
        made = record(address, model=f"of-{CANARY}", prompt="Hi", max_tokens=2)
        assert (made.model, made.finish_reason) == ("of-removed", "bad key removed")
        assert made.texts == ["You sent ", "removed", "", ", ?", " and - too."]
        monkeypatch.setenv("OPENAI_API_KEY", "-")
        assert "canary" in "".join(record(address, model="m", prompt="Hi", max_tokens=2).texts)


# Commands to a terminal: an escape sequence, one that sets the window's title, a new line, and C1.
ACTS = "\x1b[2J\x1b]0;owned\x07\r\nINFO: forged\x9b31m\u202e"


def test_text_for_a_terminal_is_one_line_without_commands() -> None:
    assert printable("plain ä") == "plain ä"
    assert printable(ACTS) == ("\\x1b[2J\\x1b]0;owned\\x07\\r\\nINFO: forged\\x9b31m\\u202e")


@pytest.mark.parametrize("fails", [False, True])
def test_the_command_record_prints_no_commands_of_the_recorded_server(
    fails: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def recorded(*given: object, **more: object) -> Recording:
        if fails:
            raise RecordingError(ACTS)
        return Recording("m", ["a"], [1.0], ACTS)

    monkeypatch.setattr("fake_vllm.response.recording.record", recorded)
    with pytest.raises(SystemExit) if fails else contextlib.nullcontext():
        main(["record", "http://127.0.0.1:9/v1", "--out", str(tmp_path / "made.json")])
    said = "".join(capsys.readouterr())
    assert "owned" in said
    assert said.removesuffix("\n").isprintable()


def test_no_request_writes_commands_into_a_log_or_a_page(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with FakeVllm(access_log=log) as fake:
        address = urlsplit(fake.root)
        target = (str(address.hostname), address.port or 0)
        body = json.dumps({**CHAT, "model": ACTS}).encode()
        for head in (
            b"GET /v1/%1b%5b2J%1b%5d0;owned%07%0d%0aINFO:%20forged?a=%1b%0d%0a HTTP/1.1\r\nhost: x\r\n",
            b"GET /v1/models?a=\x9b31m\xc2\x9b\xe2\x80\xae HTTP/1.1\r\nhost: x\r\n",
            b"GET / HTTP/1.1\r\naccept: */*\r\nhost: localhost\r\nx-forwarded-proto: \x9b\r\n",
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: \x9b31m\r\ncontent-type: application/json"
            b"\r\nuser-agent: \x9b31m\r\nx-fake-scenario: \x9b31m\r\ncontent-length: %d\r\n"
            % len(body),
        ):
            with socket.create_connection(target, 5) as connection:
                connection.sendall(head + b"connection: close\r\n\r\n" + body)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
                assert b"\x1b" not in answer
        with contextlib.suppress(FakeVllmError):
            fake.play(f'refuse:key="{ACTS}"')
        text = httpx2.get(f"{fake.root}/", trust_env=False).text
        assert "owned" in text
        assert all(line.isprintable() for line in text.splitlines())
        errors = fake.errors
    lines = log.read_text().split("\n")
    assert len(lines) == 5 + 1  # the second request is not HTTP
    assert all(line.isprintable() for line in lines)
    assert errors == ""


def test_the_page_of_a_gateway_has_the_host_name_as_text() -> None:
    made = page("cloudflare", 522, "<script>alert(1)</script>")
    assert b"<script>" not in made.body
    assert b"&lt;script&gt;" in made.body
