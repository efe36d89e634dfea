"""Servers that try to fill, hold or break the doctor, or to speak through it."""

import base64
import json
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import pytest
import typer

from stream_lab.doctor import Target, examine
from stream_lab.doctor.events import Event, events_of
from tests.stream_lab.doctor.hostile import (
    CHUNKED,
    DEEP,
    EVIL,
    OK,
    STREAM,
    Behaviour,
    Bytes,
    behaviour,
    bomb,
    chunk,
    endless,
    events,
    frame,
    said,
    serving,
    token,
    websocket,
    whole,
)
from tests.stream_lab.in_process import invoke

ROOM = 500_000_000  # bytes beyond what the process has mapped; a thread maps a hundred million
PATIENCE = 25.0  # seconds; what is endless never ends, so a wide band does
KEY = "sk-canary/9f8e+7d6c5b4a="


def echo(spell: "str") -> "Behaviour":
    """A server that refuses a key and repeats it, spelled in some way."""

    def answer(head: bytes) -> Bytes:
        key = head.split(b"Bearer ")[1].split(b"\r\n")[0].decode()
        spelled = {
            "plain": key,
            "percent": quote(key, safe=""),
            "percent in lower case": quote(key, safe="").lower(),
            "every byte percent": "".join(f"%{each:02x}" for each in key.encode()),
            "base64": base64.b64encode(key.encode()).decode(),
            "base64url": base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
            "base64 of a user and it": base64.b64encode(f"u:{key}".encode()).decode(),
            "hex": key.encode().hex(),
            "json": "".join(f"\\u{ord(each):04x}" for each in key),
        }[spell]
        body = f'{{"error": {{"message": "no such key: {spelled}"}}}}'.encode()
        return whole(body, status="401 Unauthorized")(head)

    return behaviour(chat=answer)


GZIPPED = b"content-encoding: gzip\r\n"
FULL = {
    "a bomb of gzip as a stream": behaviour(said(STREAM + GZIPPED + CHUNKED, chunk(bomb(4000)))),
    "a bomb of gzip as an error": behaviour(whole(bomb(4000), status="500 Oh", headers=GZIPPED)),
    "a bomb as /models": behaviour(models=whole(bomb(4000), headers=GZIPPED)),
    "a bomb as /metrics": behaviour(metrics=whole(bomb(4000), headers=GZIPPED)),
    "endless /models": behaviour(models=endless(OK + b"\r\n", b"x" * 65536)),
    "endless /metrics": behaviour(metrics=endless(OK + b"\r\n", b"x" * 65536)),
    "an endless redirect": behaviour(
        endless(b"HTTP/1.1 302 F\r\nlocation: /x\r\n\r\n", b"x" * 65536)
    ),
    "chunks of one byte": behaviour(endless(STREAM + CHUNKED, chunk(b"x") * 4000)),
    "empty lines": behaviour(endless(STREAM + CHUNKED, chunk(b"\n" * 60000))),
    "comments": behaviour(endless(STREAM + CHUNKED, chunk(b":\n" * 30000))),
    "one endless line": behaviour(endless(STREAM + CHUNKED, chunk(b"data: " * 10000))),
    "small tokens": behaviour(endless(STREAM + CHUNKED, chunk(b"data: x\n\n" * 6000))),
    "headers without end": behaviour(endless(OK, b"x: " + b"y" * 6000 + b"\r\n")),
    "a flood of 1xx": behaviour(endless(b"", b"HTTP/1.1 103 Early\r\n\r\n" * 500)),
    "a chunk of 2^63 bytes": behaviour(
        said(STREAM + CHUNKED + b"7fffffffffffffff\r\n" + b"x" * 1000)
    ),
    "metrics that match slowly": behaviour(
        metrics=whole(b"vllm:num_requests_running{\n" * 100_000)
    ),
    "an event's type that matches slowly": behaviour(
        events({"type": "response." + "_call" * 20_000})
    ),
}
HELD = {
    "/models byte by byte": behaviour(models=endless(OK + b"\r\n", b" ", 0.05)),
    "the head of /models byte by byte": behaviour(models=endless(OK + b"x: ", b"y", 0.05)),
    "/metrics byte by byte": behaviour(metrics=endless(OK + b"\r\n", b" ", 0.05)),
    "a stream byte by byte": behaviour(endless(STREAM + CHUNKED, chunk(b"x"), 0.01)),
    "a head byte by byte": behaviour(endless(OK + b"x: ", b"y", 0.01)),
    "keep-alives": behaviour(endless(STREAM + CHUNKED, chunk(b": \n\n"), 0.01)),
}
BROKEN = {
    "deep JSON as an event": behaviour(events(token(), DEEP.decode(), "[DONE]")),
    "deep JSON as an answer": behaviour(whole(DEEP)),
    "deep JSON as an error": behaviour(whole(DEEP, status="500 Oh")),
    "deep JSON as /models": behaviour(models=whole(DEEP)),
    "JSON that can be read and not written": behaviour(
        events(token({"a": json.loads("[" * 900 + "]" * 900)}))
    ),
    "a long number": behaviour(events('{"choices": [], "id": ' + "1" * 5000 + "}")),
    "choices of other types": behaviour(
        events(
            {"choices": 5},
            {"choices": "abc"},
            {"choices": [5, None, "a", []]},
            {"choices": {}},
            {"choices": [{"delta": 5}, {"delta": "abc"}, {"delta": ["a"]}]},
            {"choices": [{"delta": {"content": 5}, "finish_reason": {"a": 1}}]},
            token(finish_reason=7),
            token(finish_reason=["stop"]),
            {"error": {"message": {"a": [1]}}},
            {"error": [1]},
            [1],
            5,
            None,
            True,
            "x",
        )
    ),
    "numbers for names": behaviour(
        events({"id": 7, "model": 8, "type": 9, **token()}, {"id": [1], "type": {}, **token()}),
        models=whole(b'{"data": [{"id": 7}]}'),
    ),
    "/models of other types": behaviour(models=whole(b'{"data": [7, {"id": null}, []]}')),
    "headers that are not ASCII": behaviour(
        said(OK + b"content-type: text/event-stream\xff\xfe; a=\xe9\r\nx: \xff\r\n\r\ndata: 1\n\n"),
        models=whole(b'{"data": [{"id": "m"}]}', headers=b"x: \xff\xe9\r\n"),
    ),
    "an unknown charset": behaviour(
        whole(b"\xff", status="500 Oh", headers=b"content-type: text/html; charset=base64\r\n"),
        models=whole(b'{"data": []}', headers=b"content-type: text/html; charset=base64\r\n"),
        metrics=whole(b"\xff\xfe", headers=b"content-type: text/html; charset=rot13\r\n"),
    ),
    "metrics that are no numbers": behaviour(
        metrics=whole(b"vllm:num_requests_running nan\nvllm:generation_tokens_total 1e999\n")
    ),
    "metrics that are words": behaviour(metrics=whole(b"vllm:num_requests_running many\n")),
    "surrogates": behaviour(events('{"choices": [{"delta": {"content": "\\ud800"}}]}')),
    "a cut stream": behaviour(
        said(STREAM + CHUNKED + chunk(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'))
    ),
    "gzip that is none": behaviour(whole(b"none", headers=GZIPPED)),
}
SPEAKING = {
    "a finish reason": behaviour(events(token(), token(finish_reason=EVIL))),
    "an error in a stream": behaviour(events(token(), {"error": {"message": EVIL}})),
    "text in a stream": behaviour(events(EVIL)),
    "the names of models": behaviour(
        models=whole(json.dumps({"data": [{"id": EVIL}, {"id": "m"}]}).encode())
    ),
    "the only model's name": behaviour(models=whole(json.dumps({"data": [{"id": EVIL}]}).encode())),
    "a redirect": behaviour(
        whole(b"", status="302 F", headers=b"location: file:///\x1b]0;x\x07/[/x]\r\n")
    ),
    "an error page": behaviour(whole(EVIL.encode(), status="500 \x1b[2J")),
    "the type of the content": behaviour(
        whole(b"\0\1", headers=b"content-type: a/\x9b31m\xe2\x80\xae[/x]\r\n")
    ),
    "a name of an event": behaviour(
        said(STREAM + b"\r\nevent: error\x1b[2J\ndata: x\n\n:\x1b[2J\n\n\x1b[2J\n\n")
    ),
    "bytes that are not HTTP": behaviour(said(b"\x1b[2J\x07[/x]\r\n\r\n")),
    "a header that is not one": behaviour(said(OK + b"\x1b[2J[/x]\r\n\r\n")),
}
SOCKETS = {
    "deep JSON": websocket(frame(b'{"a":' + DEEP + b"}") + frame(b"\x03\xe8", 8)),
    "empty messages": websocket(b"", frame(b"") * 2000),
    "lines": websocket(b"", frame(b"\n" * 100_000)),
    "one message in endless parts": websocket(b"\x01\x01a", (b"\x00\x7e\xff\xff" + b"x" * 65535)),
    "a large message in parts of a byte": websocket(
        b"\x01\x7f" + (3_500_000).to_bytes(8) + b"x" * 3_500_000, b"\x00\x01a" * 20_000
    ),
    "a reason that speaks": websocket(frame(b"\x03\xf3" + b"\x1b[2J\n[/x]", 8)),
    "types that speak": websocket(
        frame(json.dumps({"type": EVIL, "error": EVIL}).encode()) + frame(b"\x03\xe8", 8)
    ),
    "headers that are not ASCII": websocket(
        frame(b"a") + frame(b"\x03\xe8", 8), headers=b"x: \xff\xe9\r\n"
    ),
    "no handshake": said(b"HTTP/1.1 101 \x1b[2J\r\n\xff: \x1b[2J\r\n\r\n"),
}
SPELLINGS = [
    "plain", "percent", "percent in lower case", "every byte percent", "base64", "base64url",
    "base64 of a user and it", "hex", "json",
]  # fmt: skip


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    every = {**FULL, **HELD, **BROKEN, **SPEAKING, **{each: echo(each) for each in SPELLINGS}}
    every |= {f"socket {name}": behaviour(talk) for name, talk in SOCKETS.items()}
    named = {name.replace(" ", "-").replace("/", ""): each for name, each in every.items()}
    with serving(named) as address:
        yield address


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(status: int) -> NoReturn:
        raise typer.Exit(status)

    monkeypatch.setattr("stream_lab.cli.doctor.leave", leave)
    monkeypatch.setattr("stream_lab.doctor.target.MODELS_WITHIN", 1.0, raising=False)
    monkeypatch.setattr("stream_lab.experiment.witness.PAGE_WITHIN", 1.0, raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let the process map only a little more, so that what grows without bound fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def examined(root: str, name: str, *more: str) -> str:
    """Return the doctor's whole output, which it must end in time."""
    began = time.monotonic()
    address = f"{root}/{name.replace(' ', '-').replace('/', '')}/v1"
    done = invoke(["doctor", address, "--watch", "1", *more])
    assert done.returncode in (0, 1, 2)
    assert time.monotonic() - began < PATIENCE
    return done.stdout + done.stderr


def assert_harmless(output: str) -> None:
    assert all(each.isprintable() or each == "\n" for each in output), output
    assert not [line for line in output.splitlines()[1:] if line.startswith("healthy")]


@pytest.mark.parametrize("name", FULL)
@pytest.mark.usefixtures("little_memory")
def test_no_server_fills_the_memory(root: str, name: str) -> None:
    assert examined(root, name)


@pytest.mark.parametrize("name", HELD)
def test_no_server_holds_the_doctor(root: str, name: str) -> None:
    assert examined(root, name)


def test_each_stream_is_analysed_once(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed = []

    def counted(pieces: list[tuple[float, bytes]], *, chat: bool) -> list[Event]:
        analysed.append(pieces)
        return events_of(pieces, chat=chat)

    monkeypatch.setattr("stream_lab.doctor.facts.events_of", counted)
    log = tmp_path / "a.log"
    log.write_text("x\n", encoding="utf-8")
    output = examined(root, "a cut stream", "--html", str(tmp_path / "page"), "--logs", str(log))
    assert "server_ended" in output
    assert len(analysed) == 3


@pytest.mark.parametrize("name", BROKEN)
def test_any_answer_of_a_server_leads_to_a_finding(root: str, name: str) -> None:
    assert_harmless(examined(root, name))


@pytest.mark.parametrize("name", SPEAKING)
def test_a_server_s_text_never_acts_on_the_terminal(root: str, name: str, tmp_path: Path) -> None:
    assert_harmless(examined(root, name))
    page = tmp_path / "page.html"
    output = examined(root, name, "--json", "--html", str(page))
    assert_harmless(output)
    if page.exists():
        assert "<b" not in page.read_text(encoding="utf-8").partition("<body>")[2]


@pytest.mark.parametrize("name", SOCKETS)
@pytest.mark.usefixtures("little_memory")
def test_a_hostile_websocket_is_a_finding_too(root: str, name: str) -> None:
    assert_harmless(examined(root.replace("http:", "ws:"), f"socket {name}"))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_that_a_server_repeats_is_shown_in_no_spelling(
    root: str, spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for more in ((), ("--json",)):
        output = examined(root, spelling, *more)
        assert "no such key: " in output
        assert "•••" in output
        assert KEY[10:] not in output
        shown = re.split(r"[\"…]", output.split("no such key: ")[1])[0]
        assert len(shown.replace("•••", "")) < 10  # what base64 has of a byte beside the key


def test_the_secret_of_an_address_is_not_on_the_screen_while_the_doctor_asks() -> None:
    told: list[str] = []
    near, far = (Target.of(f"http://127.0.0.1:9/{each}?api_key={KEY}&n=1") for each in "ab")
    examine(far, direct=near, tell=told.append)
    assert told == [
        "asking http://127.0.0.1:9/a?api_key=•••&n=1",
        "asking http://127.0.0.1:9/b?api_key=•••&n=1",
    ]
