"""Bytes, scenarios and headers before the fake, which runs in a thread of this process."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis import target

from fake_vllm import life
from fake_vllm.app import App
from fake_vllm.files import FilesIn
from fake_vllm.http.connection import Connection, Limits
from fake_vllm.http.exchange import Exchange
from fake_vllm.scenarios import ScenarioError, catalogue, parse
from fake_vllm.scenarios.parameters import described
from fake_vllm.settings import Settings
from tests.fuzz.mutations import WORDS, cut, edited
from tests.fuzz.target import Target

QUIET = 0.05
"""Seconds without a byte after which a client leaves."""
PATIENCE = 10.0
"""Seconds in which a good request must be answered."""
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
GOOD = b"GET /version HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"


class InThread:
    """A fake whose loop runs in a thread, with the faults that the loop saw."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.connections: set[Connection] = set()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._fault)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    def _fault(self, loop: Any, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._renew()
        create = self.loop.create_server(self._connect, "127.0.0.1", 0)
        self._server = self.loop.run_until_complete(create)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _renew(self) -> None:
        self.app = App(Settings(scenario="finite:tokens=2", gap_ms="0", max_model_len=64))

    def _connect(self) -> Connection:
        limits = Limits(request_seconds=2.0, body_bytes=100_000, idle_seconds=2.0)
        app = self.app
        return Connection(
            app.handle,
            limits,
            self.connections,
            reads=lambda: app.reads_requests,
            always_read=app.always_read,
            receive=app.receive,
        )

    def renew(self) -> None:
        """Begin anew, as a new server would, on the same port."""
        done = threading.Event()

        def renew() -> None:
            for each in tuple(self.connections):
                each.reset(0)
            self._renew()
            done.set()

        self.loop.call_soon_threadsafe(renew)
        assert done.wait(PATIENCE)

    def close(self) -> None:
        def close() -> None:
            self._server.close()
            for each in tuple(self.connections):
                each.reset(0)
            self.loop.call_later(0.05, self.loop.stop)

        self.loop.call_soon_threadsafe(close)
        self._thread.join()

    def ask(self, pieces: list[bytes], *, patience: float = QUIET) -> bytes:
        """Send bytes over a new connection; return what comes until its end, or a silence."""
        got = b""
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=patience) as connection,
        ):
            for piece in pieces:
                connection.sendall(piece)
            while data := connection.recv(65536):
                got += data
                if len(got) > 2_000_000:
                    break
        return got

    def assert_well(self) -> None:
        """Assert that the next request is answered, and that the loop saw no fault."""
        answer = self.ask([GOOD], patience=PATIENCE)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        faults, self.faults[:] = [*self.faults], []  # each is reported once
        assert not faults, faults


@contextmanager
def in_thread() -> Iterator[InThread]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(life, "EXIT_AFTER", 1e6)  # the process would be this one
        made = InThread()
        try:
            yield made
        finally:
            made.close()


# Bytes

PATHS = [
    b"/version", b"/v1/models", b"/v1/chat/completions", b"/v1/completions", b"/v1/messages", b"/v1/responses",
    b"/tokenize", b"/ledger", b"/ledger?after=1e999&wait=nan", b"/ledger/1/request", b"/scenario", b"/rules", b"/reset",
    b"/metrics", b"/openapi.json", b"/", b"", b"*", b"//", b"/v1/models/", b"/%", b"/%ff%00%0d%0a", b"/\xff", b"/v1/responses/resp_1",
    b"http://x/version", b"http://[/version", b"://", b"/?" + b"a=" * 30, b"/" + b"a" * 3000, b"/ledger/" + b"9" * 30 + b"/request",
]  # fmt: skip
METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"CONNECT", b"PRI", b"get", b"G\x00T", b"PATCH", b"TRACE", b""]  # fmt: skip
VERSIONS = [
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.11",
    b"",
    b"http/1.1",
]
FIELDS = [
    b"host: 127.0.0.1", b"host: x", b"content-type: application/json", b"content-type: application/json; charset=\xff",
    b"content-type: text/plain", b"transfer-encoding: chunked", b"transfer-encoding: gzip, chunked", b"Transfer-Encoding : chunked",
    b"content-length: 0", b"content-length: 5", b"content-length: -1", b"content-length: 99999999999999999999",
    b"content-length: 5, 6", b"content-length: 0x5", b"expect: 100-continue", b"connection: close", b"connection: upgrade\r\nupgrade: h2c",
    b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x", b"x-request-id: \xff\x01", b"no colon", b": empty",
    b"x-stainless-retry-count: " + b"9" * 30, b"x-fake-scenario: \xff", b"x-fake-scenario: stall:after=0", b"authorization: \xff", b"origin: \xff[",
    b"origin: http://[", b"x-forwarded-proto: \x00", b"accept: text/html", b" folded", b"x" * 3000 + b": y", b"x: " + b"y" * 70_000,
    b"access-control-request-method: POST\r\norigin: http://x", b"cookie: \x80", b"range: bytes=0-", b"te: trailers",
]  # fmt: skip
BODIES = [
    b"", b"hello", b"{}", b'{"messages":[{"role":"user","content":"Hi"}]}', b'{"messages":[{"role":"user","content":"Hi"}],"stream":true}',
    b'{"prompt":"\\ud800"}', b'{"prompt":[' + b"1," * 100 + b"1]}", b"[" * 5000, b'{"a":' * 2000, b"\xff\xfe{", b"1" * 5000, b"NaN",
    b'{"n":1e400}', b"stall:after=0", b'[{"scenario":"finite"}]', b'{"scenario":"\\ud800"}', b'{"prompt":"a","x":"\\u0000"}',
]  # fmt: skip
SIZES = [b"%x" , b"%x;ext=1", b"%X ", b"0x%x", b"-%x", b"+%x", b"%x\x00", b"ffffffffffffffff%x", b"%x\n", b" %x"]  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """What one client sends, and where it is cut."""

    data: bytes
    places: tuple[int, ...] = ()


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request, mostly of the form that HTTP has."""
    usual = draw(st.integers(0, 3)) > 0
    method = draw(st.sampled_from(METHODS[:5] if usual else METHODS))
    path, version = (
        draw(st.sampled_from(PATHS)),
        draw(st.sampled_from(VERSIONS[:2] if usual else VERSIONS)),
    )
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=4))
    body = draw(st.sampled_from(BODIES))
    framing = draw(st.integers(0, 5))
    if framing in (1, 2, 3):
        fields.append(b"content-length: %d" % len(body))
    elif framing == 4:
        fields.append(b"transfer-encoding: chunked")
        size = draw(st.sampled_from(SIZES[:1] if usual else SIZES)) % len(body)
        body = (
            size
            + b"\r\n"
            + body
            + draw(st.sampled_from([b"\r\n0\r\n\r\n", b"\r\n", b"0\r\nx: y\r\n\r\n", b""]))
        )
    if usual:
        fields = [b"host: 127.0.0.1", b"content-type: application/json", *fields]
    end = b"\r\n" if usual else draw(st.sampled_from([b"\r\n", b"\n", b"\r"]))
    return end.join([b" ".join((method, path, version)), *fields, b"", b""]) + body


@st.composite
def clients(draw: st.DrawFn) -> Sent:
    """Pipelined requests, perhaps damaged, in pieces."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=4)))
    if draw(st.integers(0, 2)) == 0:
        data = draw(
            edited(
                data,
                [b"\r\n", b"\r\n\r\n", b"\x00", b"\xff", b"GET / HTTP/1.1", b": ", b"0\r\n\r\n"],
            )
        )
    if draw(st.integers(0, 30)) == 0:
        data = draw(st.binary(max_size=80))
    return Sent(data, draw(st.lists(st.integers(0, 500), max_size=5).map(tuple)))


def _is_answered(fake: InThread, value: Sent) -> None:
    got = fake.ask(cut(value.data, list(value.places)))
    statuses = [int(found) for found in STATUS.findall(got)]
    target(float(len(set(statuses))), label="statuses")
    assert all(status < 500 for status in statuses), (statuses, got)
    assert not got or got.startswith(b"HTTP/1.1 "), got
    fake.assert_well()
    fake.renew()


def _take_any_path_for_one_of_v1(patch: pytest.MonkeyPatch) -> None:
    exact = App._route

    def route(self: App, exchange: Exchange) -> None:
        exchange.path.index("v")
        exact(self, exchange)

    patch.setattr(App, "_route", route)


# Scenarios

PARAMETERS: dict[str, list[str]] = {
    each["name"]: [one["name"] for one in each["parameters"]] for each in described()
}
VALUES = [
    "0", "1", "2", "-1", "1e400", "nan", "inf", "1e12", "9" * 400, "0x1", "1_0", "²", "true", "null", "", " 1 ", '"', '"a', '"a,b+c"', '"\\""',
    "1-2", "-", "2-1", "1-", "a", "503", "99", "1000", "stop", "reset", "close", "/etc/passwd", "../x", "trace:/etc/passwd", "\x00", "byte", "answer",
    "normal(1,2)", "uniform(5,1)", "lognormal(0,100)", "0.0001", "0.001", "\ud800", "x" * 300, "nginx", "envoy", "event", "content", "length",
]  # fmt: skip


@st.composite
def scenarios(draw: st.DrawFn) -> str:
    """A scenario's text: known names, known and unknown parameters, any values; or any text."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.text(max_size=40) | WORDS)
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(catalogue())))
        own = PARAMETERS[name]
        pairs = draw(
            st.lists(
                st.tuples(
                    st.sampled_from([*own, *own, "x", "", "attempts"]),
                    st.sampled_from(VALUES) | st.integers(-2, 70).map(str) | st.text(max_size=5),
                ),
                max_size=3,
            )
        )
        parts.append(
            name + (":" if pairs else "") + ",".join(f"{key}={value}" for key, value in pairs)
        )
    text = draw(st.sampled_from(["+", "+", " + ", "++"])).join(parts)
    if draw(st.integers(0, 7)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from([":", ",", "+", "=", '"', "\\", " "])) + text[at:]
    return text


@dataclass(frozen=True)
class Asked:
    """A scenario, and the request that plays it."""

    scenario: str
    path: str = "/v1/chat/completions"
    stream: bool = True
    header: bool = False
    more: dict[str, Any] = field(default_factory=dict)


BODY: dict[str, Any] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/messages": {"model": "fake-model", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"input": "Hi"},
}  # fmt: skip
MORE: list[dict[str, Any]] = [{}, {}, {"max_tokens": 5}, {"n": 2}, {"logprobs": True}, {"stream_options": {"include_usage": True}}]  # fmt: skip


def _is_played(fake: InThread, value: Asked) -> None:
    try:
        spec = parse(value.scenario, FilesIn([]))
    except ScenarioError:
        spec = None
    body = {**BODY[value.path], "stream": value.stream, **value.more}
    fields = [b"host: 127.0.0.1", b"content-type: application/json", b"connection: close"]
    if value.header and value.scenario.isprintable() and value.scenario.isascii():
        fields.append(b"x-fake-scenario: " + value.scenario.encode())
    else:
        body["fake_scenario"] = value.scenario
    data = json.dumps(body).encode()
    fields.append(b"content-length: %d" % len(data))
    head = b"POST %b HTTP/1.1\r\n%b\r\n\r\n" % (value.path.encode(), b"\r\n".join(fields))
    got = fake.ask([head + data], patience=QUIET if spec else PATIENCE)
    statuses = {int(found) for found in STATUS.findall(got[:20])}
    target(float(len(spec.parts) if spec else 0), label="parts")
    if spec is None and value.scenario.strip():
        assert statuses == {400}, (statuses, got)
    assert b"fake-vllm has a fault" not in got, got
    assert b"root:" not in got
    fake.renew()
    fake.assert_well()


def _look_a_word_up(patch: pytest.MonkeyPatch) -> None:
    exact = App.generate

    def generate(self: App, exchange: Exchange, accept: str) -> None:
        if b"attempts" in exchange.body:
            raise KeyError("attempts")
        exact(self, exchange, accept)

    patch.setattr(App, "generate", generate)


TARGETS: list[Target[Any]] = [
    Target(
        "any bytes over a socket leave the fake well, and get no 500",
        clients(),
        _is_answered,
        _take_any_path_for_one_of_v1,
        in_thread,
        {
            "an origin that is no address": Sent(
                b"GET /ledger HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: http://[\r\n\r\n"
            )
        },
        examples=40,
        to_plant=1500,
        guided=("fake_vllm",),
    ),
    Target(
        "any scenario of a request is refused with 400, or played",
        st.builds(
            Asked,
            scenarios(),
            st.sampled_from(sorted(BODY)),
            st.booleans(),
            st.booleans(),
            st.sampled_from(MORE),
        ),
        _is_played,
        _look_a_word_up,
        in_thread,
        examples=30,
        to_plant=1500,
        guided=("fake_vllm",),
    ),
]
