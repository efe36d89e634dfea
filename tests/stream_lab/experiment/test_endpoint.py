"""Attaching to a server, and one clear sentence for everything that can be wrong."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from stream_lab import Endpoint, EndpointError, bundled, open_endpoint
from stream_lab.experiment import goes_on
from stream_lab.experiment.fake import Fake, FakeError
from stream_lab.experiment.story import PlainChatVllm
from stream_lab.experiment.witness import Witness
from stream_lab.notebooks.task import Server


@pytest.fixture(scope="module")
def keyed() -> Iterator[Fake]:
    with Fake("finite", api_key="sk-right-key") as fake:
        yield fake


def sentence(base_url: str, model: str | None = None) -> str:
    with pytest.raises(EndpointError) as caught:
        Endpoint(base_url, model)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_fake_that_has_been_closed_is_one_clear_sentence() -> None:
    endpoint = bundled("finite")
    endpoint.close()
    endpoint.close()
    for use in (lambda: endpoint.settings, lambda: endpoint.root, endpoint.ledger):
        with pytest.raises(
            EndpointError, match="restart the kernel and run the cells from the top"
        ):
            use()


def test_a_server_of_the_reader_can_be_used_after_its_endpoint_is_closed() -> None:
    with bundled("finite") as fake:
        other = Endpoint(fake.base_url)
        other.close()
        assert other.settings["base_url"] == fake.base_url
        assert other.ledger()


def test_the_bundled_fake_is_started_and_stopped() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with open_endpoint() as endpoint:
        assert endpoint.is_fake
        assert endpoint.shows_metrics
        assert endpoint.settings["extra_body"] == {"ignore_eos": True}
        children = {child.pid for child in psutil.Process().children()} - before
        assert children
    assert not children & {child.pid for child in psutil.Process().children()}


def test_it_attaches_to_a_server_and_leaves_it_running(fake: Endpoint) -> None:
    with Endpoint(fake.base_url) as attached:
        assert attached.model == "fake-model"
    Endpoint(fake.base_url).close()


def test_a_fake_reports_the_end_of_each_request() -> None:
    with bundled("finite:tokens=3", gap=0.001) as endpoint:
        PlainChatVllm(**endpoint.settings, max_tokens=2).invoke("Hi")
        *_, last = endpoint.ledger()
    assert (last["tokens"], last["end"]) == (2, "finished")
    assert last["arrived"] <= last["started"]


def test_an_address_without_a_server_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "No server answers" in sentence(f"http://127.0.0.1:{port}/v1")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "nonsense",
        "http://h:99999/v1",
        "http://a..b/v1",
    ],
)
def test_an_invalid_address_is_one_sentence(url: str) -> None:
    assert "should look like" in sentence(url)


@pytest.mark.parametrize(
    "url",
    [
        "me:hunter2@127.0.0.1:1/v1",
        "htp://me:hunter2@127.0.0.1/v1",
        "http://me:hunter2@127.0.0.1:99999/v1",
        "http://[::1/v1?api_key=hunter2",
        "http://127.0.0.1:9/v1?api_key=hunter2",
        f"http://{'a' * 64}/v1?api_key=hunter2",
    ],
)
def test_an_invalid_address_is_quoted_without_its_secrets(url: str) -> None:
    assert "hunter2" not in sentence(url)


def test_an_address_without_v1_is_one_sentence(fake: Endpoint) -> None:
    assert "/v1" in sentence(fake.root)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    text = sentence("http://me:hunter2@127.0.0.1:9/v1")
    assert "OPENAI_API_KEY" in text
    assert "hunter2" not in text


def test_an_unknown_model_is_an_error_that_names_the_models(fake: Endpoint) -> None:
    assert "it serves: fake-model" in sentence(fake.base_url, "gpt-nope")


def test_a_missing_key_is_an_error_that_says_where_to_put_it(
    keyed: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "OPENAI_API_KEY" in sentence(keyed.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-right-key")
    endpoint = Endpoint(keyed.base_url)
    assert "sk-right-key" not in repr(endpoint) + repr(endpoint.settings)


def test_white_space_around_a_key_is_not_part_of_it(
    keyed: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "\tsk-right-key \r\n")
    assert Endpoint(keyed.base_url).model == "fake-model"
    assert Server().keys == ["sk-right-key"], "it is hidden as it is sent"


def test_a_proxy_in_the_environment_is_not_used_for_this_machine(
    fake: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    endpoint = open_endpoint(fake.base_url)
    assert "127.0.0.1" in os.environ["NO_PROXY"]
    assert (
        PlainChatVllm(**endpoint.settings, max_tokens=2, timeout=5, max_retries=0)
        .invoke("Hi")
        .content
    )


def test_a_fake_that_cannot_start_says_why() -> None:
    with pytest.raises(FakeError, match="There is no scenario 'babble'"):
        bundled("babble")


def test_an_untrusted_certificate_is_an_error_that_names_the_option_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = tmp_path / "ca.pem"
    with Fake(tls_self_signed=True, tls_ca=str(authority)) as fake:
        assert "name its authority with SSL_CERT_FILE=" in sentence(fake.base_url)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        with Endpoint(fake.base_url) as endpoint, Witness(endpoint.root) as witness:
            assert endpoint.model == "fake-model"
            assert witness.samples, "and its metrics are read"


class Picky(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol and refuses what is not in it, as some servers do."""

    refusal = 400

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/v1/models" else 404, {"data": [{"id": "picky"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        unknown = set(body) - {"model", "messages", "max_tokens"}
        self._answer(self.refusal if unknown else 200, {"error": f"unknown: {unknown}"})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def paths(answer: Callable[[str], bytes]) -> Iterator[str]:
    """Serve a body for each path; yield the address without one."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = answer(self.path)
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("refusal", [400, 422])
def test_a_server_that_refuses_ignore_eos_gets_a_long_request_and_a_note(
    refusal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picky, "refusal", refusal)  # `transformers serve` says 422
    server = ThreadingHTTPServer(("127.0.0.1", 0), Picky)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1")
    finally:
        server.shutdown()
        server.server_close()
    assert endpoint.settings["extra_body"] == {}
    assert endpoint.settings["max_tokens"] == 4096
    assert "It refuses ignore_eos; calls ask for up to 4096 tokens instead" in repr(endpoint)
    assert not endpoint.is_fake


LEDGERS = {
    "a page": b"<html>",
    "another list": b'{"requests": [1]}',
    "another value": b'{"requests": null}',
    "no object": b"[]",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("ledger", LEDGERS.values(), ids=LEDGERS)
def test_a_server_with_a_page_under_each_path_is_no_fake(ledger: bytes) -> None:
    models = b'{"data": [{"id": "m"}]}'
    asked = {"/v1/models": models, "/ledger": ledger}
    with paths(lambda path: asked.get(path, b"{}")) as root:
        assert not Endpoint(f"{root}/v1").is_fake
        asked["/ledger"] = b'{"requests": [{}]}'
        endpoint = Endpoint(f"{root}/v1")
        assert endpoint.is_fake
        assert not goes_on.is_known(endpoint)
        asked["/ledger"] = ledger
        with pytest.raises(EndpointError, match="shows no ledger"):
            endpoint.ledger()


KEY = "sk-verysecret-key-123"


@pytest.mark.parametrize("cut", range(len(KEY) - 5))
def test_a_model_s_name_that_is_cut_inside_the_key_does_not_show_it(
    cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    names = [" " * (320 - len(KEY) + cut) + KEY, "b"]
    models = json.dumps({"data": [{"id": name} for name in names]}).encode()
    with paths(lambda _: models) as root:
        assert KEY[:6] not in sentence(f"{root}/v1")
