"""A stream is recorded from one server and replayed by another."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from fake_vllm.response.recording import Recording, RecordingError, record
from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import arrivals, ask, read
from tests.fake_vllm.test_cli import run

KEY = "sk-canary-9f8e7d6c"
OK = b"HTTP/1.0 200 OK\r\n\r\n"
MODELS = OK + b'{"data": [{"id": "m"}]}'


@pytest.fixture(scope="module")
def real() -> Iterator[FakeVllm]:
    """Stands in for the endpoint that is recorded."""
    with FakeVllm("finite:tokens=6", gap=0.05, first_token_ms=150, model="mine") as fake:
        yield fake


@pytest.fixture(scope="module")
def made(real: FakeVllm) -> Recording:
    return record(real.base_url, model=None, prompt="Hi", max_tokens=50)


def test_a_recording_has_each_text_and_its_time(made: Recording) -> None:
    assert made.model == "mine"
    assert made.finish_reason == "stop"
    assert len(made.texts) == len(made.gaps_ms) == 6
    assert made.gaps_ms[0] > 140
    assert sorted(made.gaps_ms[1:])[2] == pytest.approx(50, abs=20)


@pytest.mark.parametrize(("speed", "least", "most"), [("1", 0.35, 1.2), ("4", 0.05, 0.3)])
def test_a_recording_is_replayed_at_its_pace_or_a_multiple(
    speed: str, least: float, most: float, made: Recording, tmp_path: Path
) -> None:
    file = tmp_path / "made.json"
    made.save(file)
    with FakeVllm(f"replay:file={file},speed={speed}", gap=5) as fake, ask(fake, "") as client:
        came = list(arrivals(client, until=b"[DONE]"))
        entry = fake.until_over()
    body = b"".join(data for _, data in came)
    texts = [
        json.loads(line[6:])["choices"][0]["delta"]["content"]
        for line in body.split(b"\n")
        if line.startswith(b"data: {")
    ]
    assert texts == ["", *made.texts, ""]
    assert entry.last_token is not None
    assert least < entry.last_token - entry.arrived < most


def test_a_stream_that_breaks_off_is_recorded_up_to_there(real: FakeVllm) -> None:
    real.play("close:after=3")
    broken = record(real.base_url, model="mine", prompt="Hi", max_tokens=50)
    real.play("finite:tokens=6")
    assert (len(broken.texts), broken.finish_reason) == (3, None)


def test_the_command_writes_a_file_that_the_server_plays(real: FakeVllm, tmp_path: Path) -> None:
    file = tmp_path / "made.json"
    done = run("record", real.base_url, "--out", str(file), "--prompt", "Hi")
    assert done.returncode == 0
    assert "6 events" in done.stdout
    assert "stop" in done.stdout
    with FakeVllm(f"replay:file={file},speed=100") as fake, ask(fake, "") as client:
        assert b"[DONE]" in read(client, until=b"[DONE]")[1]


@pytest.mark.parametrize("model", [["--model", "nope"], ["--model=nope"]])
def test_the_command_asks_for_the_model_that_it_names(
    model: list[str], real: FakeVllm, tmp_path: Path
) -> None:
    done = run("record", real.base_url, "--out", str(tmp_path / "made.json"), *model)
    assert done.returncode == 2
    assert "`nope` does not exist" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["http://127.0.0.1:9/v1", "--out", "x.json"], "Is the server there?"),
        (["nowhere", "--out", "x.json"], "is not the address of an endpoint"),
        (["http://127.0.0.1:9/v1"], "--out"),
        (["http://127.0.0.1:9/v1", "--out", "x.json", "--model"], "name of the model is empty"),
        (["http://127.0.0.1:9/v1", "--model", "--out", "x.json"], "name of the model is empty"),
        (
            ["http://127.0.0.1:9/v1", "--model", "-x", "--out", "x.json"],
            "name of the model is empty",
        ),
        (["http://127.0.0.1:9/v1", "--out", "x.json", "--model="], "name of the model is empty"),
    ],
)
def test_a_stream_that_cannot_be_recorded_is_one_sentence(arguments: list[str], says: str) -> None:
    done = run("record", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_refusal_is_reported_in_the_servers_words(real: FakeVllm) -> None:
    with pytest.raises(
        RecordingError, match=r"answered 404 to /chat/completions: .*`nope` does not exist"
    ):
        record(real.base_url, model="nope", prompt="Hi", max_tokens=5)


def test_a_file_that_is_not_a_recording_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    for text in (
        "{}",
        "[]",
        "no",
        '{"model": "m", "texts": ["a"], "gaps_ms": [1, 2], "finish_reason": null}',
    ):
        file.write_text(text)
        with pytest.raises(RecordingError, match="is not a recording"):
            Recording.load(file)


def test_the_key_is_sent_and_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-mine")
    with FakeVllm("finite:tokens=2", gap=0, api_key="sk-secret-of-mine") as fake:
        made = record(fake.base_url, model=None, prompt="Hi", max_tokens=5)
    file = tmp_path / "made.json"
    made.save(file)
    assert "secret" not in file.read_text()


@contextmanager
def endpoint(models: bytes = MODELS, chat: bytes = b"") -> Iterator[str]:
    """The address of a server that sends these bytes, heads included."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(models)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.wfile.write(chat)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()


def stream(*events: str) -> bytes:
    """An answer of these events, before two of a usual stream."""
    usual = (
        '{"choices": [{"delta": {"content": "Hello"}}]}',
        '{"choices": [{"delta": {}, "finish_reason": "stop"}]}',
    )
    return OK + b"".join(f"data: {each}\n\n".encode() for each in (*events, *usual))


def recorded(address: str, model: str | None = None) -> Recording:
    return record(address, model=model, prompt="Hi", max_tokens=5)


@pytest.mark.parametrize(
    "answer",
    [
        f"{KEY} is wrong\r\n\r\n",
        f"HTTP/1.1 4x0 bad {KEY}\r\n\r\n",
        f"HTTP/9.{KEY} 200 OK\r\n\r\n",
        f"HTTP/1.1 401 no\r\n\r\nYou sent {KEY}\n and\x1b[2J",
        f"HTTP/1.1 401 no\r\n\r\n{'-' * 290}{KEY}",
    ],
)
def test_no_error_has_the_key_or_what_a_terminal_acts_on(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with endpoint(chat=answer.encode()) as address, pytest.raises(RecordingError) as raised:
        recorded(address)
    assert "canary" not in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_a_key_that_is_a_usual_word_leaves_an_error_readable(
    real: FakeVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "exist")
    with pytest.raises(RecordingError, match="`nope` does not exist"):
        recorded(real.base_url, "nope")


@pytest.mark.parametrize(
    "models",
    [
        *("no JSON", "[" * 100_000, '["m"]', "{}", '{"data": []}', '{"data": {"id": "m"}}'),
        *('{"data": ["m"]}', '{"data": [{"name": "m"}]}', '{"data": [{"id": null}]}', "3"),
    ],
)
def test_an_endpoint_that_lists_no_model_is_one_sentence(models: str) -> None:
    with (
        endpoint(OK + models.encode()) as address,
        pytest.raises(RecordingError, match="lists no model; name one with --model"),
    ):
        recorded(address)


@pytest.mark.parametrize(
    "event",
    [
        *("[]", "null", '"choices"', '{"choices": {"a": 1}}', '{"choices": ["a"]}'),
        *('{"choices": [null]}', '{"choices": 3}', '{"choices": [{"delta": "abc"}]}'),
        *('{"choices": [{"delta": {"content": ["a"]}}]}', '{"choices": [{"finish_reason": {}}]}'),
    ],
)
def test_an_event_of_another_shape_has_no_text(event: str) -> None:
    with endpoint(chat=stream(event)) as address:
        made = recorded(address)
    assert (made.texts, made.finish_reason) == (["Hello"], "stop")


def test_an_event_that_cannot_be_read_ends_the_recording() -> None:
    with endpoint(chat=stream() + b"data: " + b"[" * 100_000 + b"\n\n") as address:
        assert recorded(address).texts == ["Hello"]


def test_half_a_pair_of_surrogates_does_not_lose_the_recording(tmp_path: Path) -> None:
    file = tmp_path / "made.json"
    models = OK + b'{"data": [{"id": "m\\ud800"}]}'
    text = '{"choices": [{"delta": {"content": "\\ud800"}}]}'
    end = b'data: {"choices": [{"finish_reason": "\\udc00"}]}\n\n'
    with endpoint(models, stream(text) + end) as address:
        recorded(address).save(file)
    made = Recording.load(file)
    assert (made.model, made.texts, made.finish_reason) == ("m?", ["?", "Hello"], "?")


def test_an_address_that_cannot_be_sent_is_one_sentence() -> None:
    with pytest.raises(RecordingError, match="Cannot record from"):
        recorded("http://127.0.0.1:9/é", "m")
