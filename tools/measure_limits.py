"""Measure the defaults in `limits.yaml` that can run on one machine, and their messages.

`python tools/measure_limits.py [NAME…]` measures all of them, or those whose product begins with
one of the names. It waits for the real defaults, most of them side by side, so that all take about
seven minutes and little CPU. It names missing programs and leaves them out: nginx, haproxy,
apache2, nodejs, chromium; hypercorn, requests, aiohttp, anthropic, litellm. Exit status 1: a result
differs from the file.
"""

import argparse
import asyncio
import importlib
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import httpx
import psutil

from stream_deadline import bounded_client
from stream_lab.doctor.limits import Limit, load
from stream_lab.processes.ports import free_port, listens
from stream_lab.processes.process import Process

Ended = tuple[float | None, str]
"""Seconds until it ended, None: it did not while we watched; and what was seen."""

HOST = "127.0.0.1"
SLACK = 2.5  # seconds of lateness that are not the default's, such as the program's own polls
WATCHED = 150.0  # seconds without an event after which a limit counts as off, unless a case differs
ASKED = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
CHUNK = (
    b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


# --- what is asked ------------------------------------------------


class Upstream:
    """A server that behaves in one way, with its address in `url`.

    - `silent`: takes a request and says nothing.
    - `half`: sends a head and one event, then nothing.
    - `drip`: sends an event every 20 s.
    - `flood`: sends as much as the client takes.
    - `deaf`: does not read.
    - `whole`: sends a short answer at once.
    - `full`: accepts no connection, as a host behind a firewall.
    """

    all: ClassVar[
        list["Upstream"]
    ] = []  # an upstream without a reference would be collected, and refuse

    def __init__(self, manner: str) -> None:
        self.all.append(self)
        self._manner = manner
        self._listening = socket.create_server((HOST, 0), backlog=0 if manner == "full" else 128)
        self.port = int(self._listening.getsockname()[1])
        self.url = f"http://{HOST}:{self.port}"
        self._kept: list[socket.socket] = []
        if manner == "full":
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex((HOST, self.port))
                self._kept.append(filler)
            time.sleep(0.1)
        else:
            threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            self._kept.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._manner == "deaf":
                return
            asked = connection.recv(65536)
            if asked.startswith(b"GET /page") or self._manner == "whole":
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
                )
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
                return
            if self._manner in ("half", "drip", "flood"):
                connection.sendall(HEAD)
            while self._manner in ("half", "drip", "flood"):
                data = CHUNK if self._manner != "flood" else CHUNK * 1000
                connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                if self._manner == "half":
                    break
                time.sleep(20 if self._manner == "drip" else 0)
            while connection.recv(65536):
                pass
            connection.close()


@dataclass
class Found:
    """A measurement.

    Attributes:
        seconds: the time from the last event to the end. None: it did not end during the watch.
    """

    seconds: float | None
    message: str
    version: str


def ends(port: int, sent: bytes, longest: float = WATCHED) -> Ended:
    """Send bytes over a socket, and return the seconds from its last byte."""
    with socket.create_connection((HOST, port)) as client:
        client.sendall(sent)
        last, words = time.monotonic(), b""
        client.settimeout(longest)
        try:
            while data := client.recv(65536):
                if re.match(rb"HTTP/1.[01] [45]", data):
                    return time.monotonic() - last, str(data.split(b"\r\n")[0], "latin-1")
                last, words = time.monotonic(), words + data
        except TimeoutError:
            return None, ""
        except OSError as error:
            return time.monotonic() - last, str(error)
        if not words:
            return time.monotonic() - last, "(connection closed without an answer)"
        cut = b"chunked" in words and not words.endswith(b"0\r\n\r\n")
        return time.monotonic() - last, "(body cut)" if cut else "(connection closed)"


# --- the programs ------------------------------------------------


@contextmanager
def program(
    name: str, command: list[str], port: int, env: dict[str, str] | None = None
) -> Iterator[Process]:
    with Process(name, command, lambda: listens(port), env=env) as running:
        yield running


class Missing(Exception):
    """Raised when a program or a library is not installed."""


def find(name: str) -> str:
    if path := shutil.which(name) or shutil.which(f"/usr/sbin/{name}"):
        return path
    raise Missing(name)


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Missing(name) from None


def version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[.\d]*", done.stdout + done.stderr)
    return found.group().rstrip(".") if found else ""


def last_line(log: str, *words: str) -> str:
    """Return the newest line with all these words, without its time and other changing parts."""
    lines = [line.strip() for line in log.splitlines() if all(word in line for word in words)]
    return (
        re.sub(r", client: .*|^.*?(?=upstream timed|client timed)", "", lines[-1]) if lines else ""
    )


def nginx(
    manner: str,
    measure: Callable[[int], Ended],
    *words: str,
    lines: str = "",
    log_tells: bool = False,
) -> Found:
    """Measure nginx.

    Args:
        manner: how the server behind it behaves.
        measure: measures the end at a port.
        words: words of the line in the log.
        lines: lines of configuration.
        log_tells: whether that line shows the end, since the client cannot see it.
    """
    path = find("nginx")
    upstream, port = Upstream(manner), free_port()
    with TemporaryDirectory() as folder:
        temporary = "".join(
            f"{kind}_temp_path {kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = f"""daemon off; master_process off; pid nginx.pid;
            error_log stderr info; events {{}}
            http {{ access_log /dev/stderr; {temporary}
            server {{ listen {HOST}:{port}; location / {{
            proxy_pass {upstream.url}; proxy_http_version 1.1; {lines} }} }} }}"""
        (Path(folder) / "nginx.conf").write_text(configuration, encoding="utf-8")
        with program(
            "nginx", [path, "-p", folder, "-c", f"{folder}/nginx.conf", "-e", "stderr"], port
        ) as running:
            began = time.monotonic()
            seconds, said = measure(port)
            while (
                log_tells
                and not last_line(running.log, *words)
                and time.monotonic() - began < WATCHED
            ):
                time.sleep(0.1)
            seconds = time.monotonic() - began if log_tells else seconds
            time.sleep(0.3)
            status = re.findall(r'HTTP/1.1" (\d{3})', running.log)[-1:]
            log = [last_line(running.log, *words), *(f"status {each}" for each in status)]
            return Found(
                seconds, f"{said}; log: {', '.join(filter(None, log))}", version(path, "-v")
            )


def haproxy(
    manner: str,
    measure: Callable[[int], Ended],
    limits: str = "connect 5000,client 50000,server 50000",
) -> Found:
    """Measure HAProxy with Debian's time-outs, or without any: `limits=""`."""
    path = find("haproxy")
    upstream, port = Upstream(manner), free_port()
    with TemporaryDirectory() as folder:
        timeouts = "".join(f"    timeout {each}\n" for each in limits.split(",") if each)
        (Path(folder) / "haproxy.cfg").write_text(
            "global\n    log stdout format raw local0\ndefaults\n    mode http\n    log global\n  "
            f"  option httplog\n{timeouts}"
            f"listen here\n    bind {HOST}:{port}\n    server one {HOST}:{upstream.port}\n",
            encoding="utf-8",
        )
        with program("haproxy", [path, "-db", "-f", f"{folder}/haproxy.cfg"], port) as running:
            seconds, said = measure(port)
            time.sleep(0.2)
            state = re.findall(r" ([A-Za-z]{2}[-A-Za-z]{2}) \d+/\d+/", running.log)
            return Found(seconds, f"{said}; log: {state[-1] if state else ''}", version(path, "-v"))


def apache(
    manner: str, measure: Callable[[int], Ended], lines: str = "", modules: str = ""
) -> Found:
    path = find("apache2")
    upstream, port = Upstream(manner), free_port()
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        loaded = "".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
            for name in ["mpm_event", "authz_core", "proxy", "proxy_http", *modules.split()]
        )
        (Path(folder) / "apache.conf").write_text(
            f"ServerRoot {folder}\nServerName here\nPidFile {folder}/pid\nDefaultRuntimeDir "
            f"{folder}\nListen {HOST}:{port}\n"
            f'ErrorLog "|/bin/cat"\nUser www-data\nGroup www-data\n{loaded}ProxyPass / '
            f"{upstream.url}/\n{lines}\n",
            encoding="utf-8",
        )
        with program(
            "apache", [path, "-f", f"{folder}/apache.conf", "-DFOREGROUND"], port
        ) as running:
            seconds, said = measure(port)
            time.sleep(0.2)
            told = re.findall(r"\w+: (?:\(\d+\))?[^\[\]]*|AH0\d+: .*", running.log)
            words = [
                line for line in told if "AH011" in line or "AH0089" in line or "AH0256" in line
            ]
            return Found(
                seconds, f"{said}; log: {words[-1].strip() if words else ''}", version(path, "-v")
            )


PAGES = """
import asyncio, time

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/block":
        time.sleep(45)
    headers = [(b"content-type", b"text/plain")]
    if path in ("/", "/block"):
        headers = [*headers, (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    if path == "/silent":
        await asyncio.sleep(3600)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(3600):
        data = b"x" * (100000 if path == "/flood" else 1)
        await send({"type": "http.response.body", "body": data, "more_body": True})
        await asyncio.sleep({"/drip": 1, "/flood": 0}.get(path, 3600))

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        start_response("200 OK", [("content-type", "text/plain"), ("content-length", "2")])
        return [b"ok"]
    start_response("200 OK", [("content-type", "text/plain")])
    def made():
        for number in range(3600):
            yield b"x"
            time.sleep(1)
    return made()
"""


def served(
    command: list[str], measure: Callable[[int, Process], Ended], words: str = "", module: str = ""
) -> Found:
    """Start a Python server with the pages above; "PORT" in its command becomes a port."""
    name = module or command[0]
    library(name)
    port = free_port()
    with TemporaryDirectory() as folder:
        (Path(folder) / "pages.py").write_text(PAGES, encoding="utf-8")
        line = [sys.executable, "-m", *(part.replace("PORT", str(port)) for part in command)]
        with program(name, line, port, {"PYTHONPATH": folder}) as running:
            time.sleep(1)
            seconds, said = measure(port, running)
            time.sleep(0.3)
            lines = [each.strip() for each in running.log.splitlines() if words and words in each]
            log = re.sub(r"^\[[^\]]*\] \[\d+\] |pid:\d+|\[\d{4,}\]", "", lines[-1]) if lines else ""
            return Found(seconds, f"{said}; log: {log}", importlib.metadata.version(name))


def gunicorn(page: str, *options: str, words: str = "", longest: float = 60.0) -> Found:
    """Measure how long a dripping stream lasts, from its start."""

    def measure(port: int, _: Process) -> Ended:
        began = time.monotonic()
        said = drip(port, longest)
        lasted = time.monotonic() - began
        return (None, "(it went on)") if lasted >= longest else (lasted, said)

    return served(
        ["gunicorn", page, "--bind", f"{HOST}:PORT", "--no-control-socket", *options],
        measure,
        words,
    )


def drip(port: int, longest: float) -> str:
    """Read a dripping stream to its end, or for N seconds; return the end's words."""
    end = time.monotonic() + longest
    with socket.create_connection((HOST, port)) as client:
        client.sendall(b"GET /drip HTTP/1.1\r\nHost: here\r\n\r\n")
        client.settimeout(longest)
        words = b""
        with suppress(TimeoutError):
            try:
                while time.monotonic() < end:
                    if not (data := client.recv(65536)):
                        return "(body cut)" if not words.endswith(b"0\r\n\r\n") else "(whole)"
                    words += data
            except ConnectionResetError:
                return "(reset)"
    return "(it went on)"


def idle(port: int, _: Process | None = None) -> Ended:
    """Measure how long a connection is kept after a whole answer."""
    return ends(port, ASKED)


def block(port: int, _: Process) -> Ended:
    """Measure how long a handler may block the event loop."""
    return ends(port, b"GET /block HTTP/1.1\r\nHost: here\r\n\r\n")


def stopped(port: int, running: Process) -> Ended:
    """Measure how long a worker that stands still is tolerated."""
    workers = [
        each
        for each in psutil.Process(running.pid).children()
        if "spawn_main" in " ".join(each.cmdline())
    ]
    began = time.monotonic()
    workers[0].suspend()
    while time.monotonic() - began < WATCHED:
        if " died" in running.log:
            return time.monotonic() - began, "(the worker is replaced, its connections end)"
        time.sleep(0.05)
    return None, ""


def asked_to_stop(port: int, running: Process, longest: float) -> Ended:
    """Measure how long a stream goes on after SIGTERM."""
    with socket.create_connection((HOST, port)) as client:
        client.sendall(b"GET /drip HTTP/1.1\r\nHost: here\r\n\r\n")
        client.recv(65536)
        time.sleep(1)
        os.kill(running.pid, 15)
        began = time.monotonic()
        client.settimeout(5)
        with suppress(OSError):
            while time.monotonic() < began + longest:
                if not client.recv(65536):
                    break
        lasted = time.monotonic() - began
        return (None, "(it went on)") if lasted >= longest else (lasted, "(body cut)")


def node(script: str, longest: float = 340) -> Found:
    """Run a script that prints its result as JSON: {"seconds": …, "message": …}."""
    path = find("node")
    done = subprocess.run(
        [path, "-e", script], capture_output=True, text=True, timeout=longest + 30, check=False
    )
    said: dict[str, Any] = (
        json.loads(done.stdout.strip().splitlines()[-1])
        if done.stdout.strip()
        else {"seconds": None, "message": done.stderr}
    )
    return Found(said["seconds"], said["message"], version(path, "-v"))


NODE_SERVER = """
const server = require("http").createServer((q, r) => { if (q.url == "/") r.end("ok"); });
server.listen(0, "127.0.0.1", () => {
  const began = Date.now(), c = require("net").connect(server.address().port, "127.0.0.1");
  let said = "", last = Date.now();
  c.on("connect", () => { c.write(%s); last = Date.now(); });
  c.on("data", d => {
    said = String(d).split("\\r\\n")[0];
    if (!said.includes("408")) last = Date.now();
  });
  const tell = s => { console.log(JSON.stringify({seconds: s, message: said})); process.exit(0); };
  c.on("end", () => tell((Date.now() - last) / 1000));
  c.on("error", () => {});
  setTimeout(() => tell(null), %d);
});
"""
NODE_FETCH = """
const began = Date.now(); let last = began;
const tell = e => { console.log(JSON.stringify({seconds: (Date.now() - last) / 1000,
  message: `${e.name}: ${e.message}; cause: ${e.cause && e.cause.name}: ` +
    `${e.cause && e.cause.message} (${e.cause && e.cause.code})`}));
  process.exit(0); };
(async () => {
  try {
    const r = await fetch("%s");
    for await (const _ of r.body) last = Date.now();
  } catch (e) { tell(e); }
})();
"""
NODE_REQUEST = """
const began = Date.now();
const tell = (s, m) => { console.log(JSON.stringify({seconds: s, message: m})); process.exit(0); };
require("http").get("%s", () => {}).on("error", e => tell((Date.now() - began) / 1000, String(e)));
setTimeout(() => tell(null, ""), %d);
"""


def chromium(manner: str, longest: float) -> Found:
    """Measure how long a page's fetch waits."""
    path = find("chromium")
    from stream_lab.processes import Browser  # Playwright need not be installed for the rest

    script = """longest => new Promise(done => {
        let last = performance.now();
        const tell = e => done({seconds: (performance.now() - last) / 1000, message: String(e)});
        (async () => { try { const r = (await fetch("/")).body.getReader();
            while (true) { const p = await r.read(); if (p.done) break; last = performance.now(); }
            tell("done");
        } catch (e) { tell(e); } })();
        setTimeout(() => done({seconds: null, message: ""}), longest * 1000); })"""
    with Browser() as browser:
        page = browser.page(f"{Upstream(manner).url}/page")
        said = page.evaluate(script, longest)
    return Found(said["seconds"], said["message"], version(path, "--version"))


# --- the Python clients ------------------------------------------------


def raised(name: str, call: Callable[[], object], longest: float = WATCHED) -> Found:
    """Measure how long a call takes to raise, and what it raises."""
    result: list[tuple[float, str]] = []
    began = time.monotonic()

    def run() -> None:
        try:
            call()
            said = "(it ended)"
        except BaseException as error:
            said = words_of(error)
        result.append((time.monotonic() - began, said))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(longest)
    seconds, message = result[0] if result else (None, "")
    return Found(seconds, message, importlib.metadata.version(name))


def words_of(error: BaseException) -> str:
    text = re.sub(r"127\.0\.0\.1:\d+|port=\d+|0x[0-9a-f]+", "…", str(error).split("\n")[0])
    return f"{type(error).__module__.split('.')[0]}.{type(error).__qualname__}: {text}".rstrip(": ")


def httpx_like(name: str, manner: str) -> Found:
    module = library(name)

    def call() -> None:
        with module.stream("GET", Upstream(manner).url, trust_env=False) as response:
            for _ in response.iter_bytes():
                pass

    return raised(name, call)


def pool_of(name: str) -> Found:
    """Measure how long a request waits for a connection when all are in use."""
    module = library(name)
    client = module.Client(limits=module.Limits(max_connections=1), trust_env=False)
    url = Upstream("half").url

    def call() -> None:
        with client.stream("GET", url):
            pass

    with client.stream("GET", url, timeout=None):
        return raised(name, call)


def requests_like(manner: str) -> Found:
    """Measure a client without a time-out, with the words of a time-out of 2 s."""
    module = library("requests")

    def call(timeout: float | None = None) -> None:
        for _ in module.get(Upstream(manner).url, stream=True, timeout=timeout).iter_content(1):
            pass

    fired = shortened(2, raised("requests", lambda: call(2), 30))
    waited = raised("requests", call)
    return Found(waited.seconds, fired.message, waited.version)


def bounded() -> Found:
    """Measure a client without a bound, with the words of a bound of 2 s."""

    def call(timeout: float | None = None) -> None:
        client = bounded_client(httpx.Client(timeout=None, trust_env=False), timeout)
        with client.stream("GET", Upstream("drip").url) as response:
            for _ in response.iter_bytes():
                pass

    fired = shortened(2, raised("stream-deadline", lambda: call(2), 30))
    waited = raised("stream-deadline", call)
    return Found(waited.seconds, fired.message, waited.version)


def aiohttp_like(manner: str) -> Found:
    module = library("aiohttp")

    async def call() -> None:
        async with module.ClientSession() as session, session.get(Upstream(manner).url) as response:
            async for _ in response.content:
                pass

    return raised("aiohttp", lambda: asyncio.run(call()), 340)


def sdk(name: str, manner: str, longest: float = WATCHED, **options: Any) -> Found:
    """Return OpenAI's or Anthropic's client, with its default time-out unless options set one."""
    module = library(name)
    client = getattr(module, {"openai": "OpenAI", "anthropic": "Anthropic"}[name])(
        api_key="none", base_url=Upstream(manner).url, **options
    )
    body: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}],
        "stream": True,
    }

    def call() -> None:
        stream = (
            client.chat.completions.create(**body)
            if name == "openai"
            else client.messages.create(max_tokens=9, **body)
        )
        for _ in stream:
            pass

    return raised(name, call, longest)


def default_of(name: str, manner: str) -> Found:
    """Return the read time-out that a client sends, and the words of a shortened one."""
    if name == "litellm":
        return litellm_default(manner)
    module = library(name)
    client = getattr(module, {"openai": "OpenAI", "anthropic": "Anthropic"}[name])(api_key="none")
    fired = sdk(name, manner, timeout=2.0, max_retries=0)
    return shortened(float(client.timeout.read), fired)


def shortened(default: float, fired: Found) -> Found:
    """Measure a default by a time-out of 2 s, which must fire."""
    if fired.seconds is None or not 1.5 < fired.seconds < 5:
        raise RuntimeError(f"a time-out of 2 s fired after {fired.seconds}")
    return Found(default, f"(2 s fired) {fired.message}", fired.version)


LITELLM: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}]}


def litellm_default(manner: str) -> Found:
    module, http = library("litellm"), library("httpx")
    seen: list[float] = []

    class Note(http.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            seen.append(request.extensions["timeout"]["read"])
            raise http.ConnectError("seen")

    # Its own key, since the library caches its clients by their arguments.
    body = {"model": "openai/m", "api_key": manner, "max_retries": 0, **LITELLM}
    module.client_session = http.Client(transport=Note())
    with suppress(Exception):
        module.completion(base_url="http://nowhere", **body)
    module.client_session = None
    url = Upstream(manner).url
    return shortened(
        seen[0],
        raised(
            "litellm",
            lambda: list(module.completion(base_url=url, stream=True, timeout=2, **body)),
            60,
        ),
    )


def litellm_router() -> Found:
    module = library("litellm")
    url = Upstream("silent").url
    model = {
        "model_name": "m",
        "litellm_params": {"model": "openai/m", "api_key": "none", "base_url": url},
    }
    short = module.Router(model_list=[model], timeout=2, num_retries=0)
    fired = raised("litellm", lambda: short.completion(model="m", max_retries=0, **LITELLM), 60)
    return shortened(float(module.Router(model_list=[model]).timeout), fired)


def langchain(manner: str, longest: float, call: str) -> Found:
    module = library("langchain_openai")
    url = Upstream(manner).url
    model = module.ChatOpenAI(model="m", api_key="none", base_url=url, max_retries=0)

    async def astream() -> None:
        async for _ in model.astream("a"):
            pass

    calls: dict[str, Callable[[], object]] = {
        "invoke": lambda: model.invoke("a"),
        "stream": lambda: list(model.stream("a")),
        "astream": lambda: asyncio.run(astream()),
    }
    return raised("langchain-openai", calls[call], longest)


# --- the cases ------------------------------------------------


def posted(port: int, body: bytes, announced: int) -> Ended:
    return ends(
        port,
        f"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: {announced}\r\n\r\n".encode() + body,
    )


def unread(port: int) -> Ended:
    """Request much and read nothing, until the watch is over."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, port))
    client.sendall(ASKED)
    KEPT.append(client)
    return None, "(it does not learn of it while it does not read)"


KEPT: list[socket.socket] = []
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: "
ASYNC = ("-k", "uvicorn_worker.UvicornWorker")


def ask(port: int) -> Ended:
    """Return a whole request, as most cases send it."""
    return ends(port, ASKED)


CASES: dict[tuple[str, str], Callable[[], Found]] = {
    ("nginx", "proxy_read_timeout first_byte"): lambda: nginx("silent", ask, "timed out"),
    ("nginx", "proxy_read_timeout idle"): lambda: nginx("half", ask, "timed out"),
    ("nginx", "proxy_connect_timeout connect"): lambda: nginx("full", ask, "timed out"),
    ("nginx", "proxy_send_timeout request"): lambda: nginx(
        "deaf",
        lambda port: posted(port, b"a" * 30_000_000, 30_000_000),
        "timed out",
        lines="client_max_body_size 0;",
    ),
    ("nginx", "client_header_timeout request"): lambda: nginx(
        "whole", lambda port: ends(port, HALF_HEAD), "timed out"
    ),
    ("nginx", "client_body_timeout request"): lambda: nginx(
        "whole", lambda port: posted(port, b"a", 9), "timed out"
    ),
    ("nginx", "send_timeout idle"): lambda: nginx("flood", unread, "timed out", log_tells=True),
    ("nginx", "keepalive_timeout keep_alive"): lambda: nginx("whole", idle),
    ("HAProxy", "timeout server first_byte"): lambda: haproxy("silent", ask),
    ("HAProxy", "timeout server idle"): lambda: haproxy("half", ask),
    ("HAProxy", "timeout client request"): lambda: haproxy(
        "whole", lambda port: ends(port, HALF_HEAD)
    ),
    ("HAProxy", "timeout client keep_alive"): lambda: haproxy("whole", idle),
    ("HAProxy", "timeout connect, with retries connect"): lambda: haproxy("full", ask),
    ("HAProxy", "timeout server, not set idle"): lambda: haproxy("half", ask, limits=""),
    ("Apache httpd", "ProxyTimeout first_byte"): lambda: apache("silent", ask),
    ("Apache httpd", "ProxyTimeout idle"): lambda: apache("half", ask),
    ("Apache httpd", "Timeout, as Debian sets it idle"): lambda: apache(
        "half", lambda port: ends(port, ASKED, longest=330), "Timeout 300"
    ),
    ("Apache httpd", "KeepAliveTimeout keep_alive"): lambda: apache("whole", idle),
    ("Apache httpd", "RequestReadTimeout header request"): lambda: apache(
        "whole", lambda port: ends(port, HALF_HEAD), modules="reqtimeout"
    ),
    ("gunicorn", "--timeout, sync worker total"): lambda: gunicorn(
        "pages:wsgi", words="WORKER TIMEOUT"
    ),
    ("gunicorn", "--timeout, gthread worker total"): lambda: gunicorn(
        "pages:wsgi", "-k", "gthread"
    ),
    ("gunicorn", "--timeout, uvicorn worker total"): lambda: gunicorn("pages:asgi", *ASYNC),
    ("gunicorn", "--timeout, uvicorn worker heartbeat"): lambda: served(
        ["gunicorn", "pages:asgi", "--bind", f"{HOST}:PORT", "--no-control-socket", *ASYNC],
        block,
        "WORKER TIMEOUT",
    ),
    ("gunicorn", "--graceful-timeout shutdown"): lambda: served(
        ["gunicorn", "pages:asgi", "--bind", f"{HOST}:PORT", "--no-control-socket", *ASYNC],
        lambda port, running: asked_to_stop(port, running, 60),
    ),
    ("gunicorn", "--keep-alive keep_alive"): lambda: served(
        [
            "gunicorn",
            "pages:wsgi",
            "--bind",
            f"{HOST}:PORT",
            "--no-control-socket",
            "-k",
            "gthread",
        ],
        idle,
    ),
    ("uvicorn", "--timeout-keep-alive keep_alive"): lambda: served(
        ["uvicorn", "pages:asgi", "--port", "PORT"], idle
    ),
    ("uvicorn", "--timeout-worker-healthcheck heartbeat"): lambda: served(
        ["uvicorn", "pages:asgi", "--port", "PORT", "--workers", "2"], stopped, "died"
    ),
    ("uvicorn", "--timeout-graceful-shutdown shutdown"): lambda: served(
        ["uvicorn", "pages:asgi", "--port", "PORT"],
        lambda port, running: asked_to_stop(port, running, 60),
    ),
    ("uvicorn", "(no such setting) total"): lambda: served(
        ["uvicorn", "pages:asgi", "--port", "PORT"],
        lambda port, _: ends(port, b"GET /silent HTTP/1.1\r\nHost: here\r\n\r\n"),
    ),
    ("hypercorn", "--keep-alive keep_alive"): lambda: served(
        ["hypercorn", "pages:asgi", "--bind", f"{HOST}:PORT"], idle
    ),
    ("hypercorn", "(no such setting) total"): lambda: served(
        ["hypercorn", "pages:asgi", "--bind", f"{HOST}:PORT"],
        lambda port, _: ends(port, b"GET /silent HTTP/1.1\r\nHost: here\r\n\r\n"),
    ),
    ("hypercorn", "--graceful-timeout shutdown"): lambda: served(
        ["hypercorn", "pages:asgi", "--bind", f"{HOST}:PORT"],
        lambda port, running: asked_to_stop(port, running, 30),
    ),
    ("Node http", "server.headersTimeout request"): lambda: node(
        NODE_SERVER % ('"GET / HTTP/1.1\\r\\nHost: "', 150_000)
    ),
    ("Node http", "server.requestTimeout request"): lambda: node(
        NODE_SERVER
        % ('"POST /x HTTP/1.1\\r\\nHost: here\\r\\nContent-Length: 9\\r\\n\\r\\na"', 345_000)
    ),
    ("Node http", "server.keepAliveTimeout keep_alive"): lambda: node(
        NODE_SERVER % ('"GET / HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n"', 60_000)
    ),
    ("Node http", "server.timeout idle"): lambda: node(
        NODE_SERVER % ('"GET /x HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n"', 330_000)
    ),
    ("Node http", "http.request timeout idle"): lambda: node(
        NODE_REQUEST % (Upstream("silent").url, 330_000)
    ),
    ("Node fetch", "headersTimeout first_byte"): lambda: node(NODE_FETCH % Upstream("silent").url),
    ("Node fetch", "bodyTimeout idle"): lambda: node(NODE_FETCH % Upstream("half").url),
    ("Node fetch", "connect.timeout connect"): lambda: node(NODE_FETCH % Upstream("full").url),
    ("browsers", "fetch, Chromium first_byte"): lambda: chromium("silent", 330),
    ("browsers", "fetch, Chromium idle"): lambda: chromium("half", 330),
    ("httpx", "pool connect"): lambda: pool_of("httpx"),
    ("httpx", "connect connect"): lambda: httpx_like("httpx", "full"),
    ("httpx", "read first_byte"): lambda: httpx_like("httpx", "silent"),
    ("httpx", "read idle"): lambda: httpx_like("httpx", "half"),
    ("httpx2", "pool connect"): lambda: pool_of("httpx2"),
    ("httpx2", "connect connect"): lambda: httpx_like("httpx2", "full"),
    ("httpx2", "read first_byte"): lambda: httpx_like("httpx2", "silent"),
    ("httpx2", "read idle"): lambda: httpx_like("httpx2", "half"),
    ("requests", "timeout first_byte"): lambda: requests_like("silent"),
    ("requests", "timeout idle"): lambda: requests_like("half"),
    ("stream-deadline", "timeout total"): bounded,
    ("aiohttp", "total total"): lambda: aiohttp_like("drip"),
    ("aiohttp", "sock_connect connect"): lambda: aiohttp_like("full"),
    ("openai", "timeout connect"): lambda: sdk("openai", "full", max_retries=0),
    ("openai", "timeout first_byte"): lambda: default_of("openai", "silent"),
    ("openai", "timeout idle"): lambda: default_of("openai", "half"),
    ("openai", "timeout, with max_retries connect"): lambda: sdk("openai", "full"),
    ("anthropic", "timeout connect"): lambda: sdk("anthropic", "full", max_retries=0),
    ("anthropic", "timeout first_byte"): lambda: default_of("anthropic", "silent"),
    ("anthropic", "timeout idle"): lambda: default_of("anthropic", "half"),
    ("LangChain", "ChatOpenAI stream_chunk_timeout idle"): lambda: langchain(
        "half", WATCHED, "astream"
    ),
    ("LangChain", "ChatOpenAI timeout first_byte"): lambda: langchain("silent", 330, "invoke"),
    ("LangChain", "ChatOpenAI timeout idle"): lambda: langchain("half", WATCHED, "stream"),
    ("LangChain", "ChatOpenAI timeout connect"): lambda: langchain("full", 60, "invoke"),
    ("LiteLLM", "timeout first_byte"): lambda: default_of("litellm", "silent"),
    ("LiteLLM", "timeout idle"): lambda: default_of("litellm", "half"),
    ("LiteLLM", "Router timeout first_byte"): litellm_router,
}


ALONE = (
    "LiteLLM",
    "httpx",
    "httpx2",
    "openai",
    "anthropic",
)  # short ones of this process, which others would make late
POLLS = {
    "Node http": 30.0
}  # seconds between two looks at its connections, so that an end may come so much later


def verdict(found: Found, limit: Limit | None) -> str:
    """Compare a measurement with the file."""
    if limit is None:
        return "not in the file"
    if limit.default is None or found.seconds is None:
        return "as told" if limit.default is found.seconds else "DIFFERS"
    late = found.seconds - limit.default
    return (
        "as told"
        if -0.6 <= late <= SLACK + 0.02 * limit.default + POLLS.get(limit.product, 0.0)
        else "DIFFERS"
    )


def main() -> int:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would ask the network for it
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="products, as their names begin")
    chosen = parser.parse_args().names
    cases = {
        key: case
        for key, case in CASES.items()
        if not chosen or any(key[0].lower().startswith(n.lower()) for n in chosen)
    }
    known = {(limit.product, f"{limit.knob} {limit.bounds}"): limit for limit in load()}
    for name in ("requests", "aiohttp", "openai", "anthropic", "langchain_openai", "litellm"):
        with suppress(Missing):
            library(name)  # now, so that no case waits while another imports

    def one(key: tuple[str, str], number: int) -> tuple[tuple[str, str], Found | str]:
        time.sleep(0.3 * number)
        try:
            return key, cases[key]()
        except Missing as error:
            return key, f"{error} is not installed"
        except Exception as error:
            return key, f"{type(error).__name__}: {error}"

    wrong = False

    def tell(key: tuple[str, str], found: Found | str) -> None:
        nonlocal wrong
        product, case = key
        if isinstance(found, str):
            print(f"{product:12} {case:45} left out: {found}", flush=True)
            return
        said = verdict(found, known.get(key))
        wrong |= said != "as told"
        seconds = "none" if found.seconds is None else f"{found.seconds:.1f}"
        print(
            f"{product:12} {case:45} {seconds:>6} {said:16} {found.version:9} {found.message}",
            flush=True,
        )

    for key in [each for each in cases if each[0] in ALONE]:
        tell(*one(key, 0))
        del cases[key]
    with ThreadPoolExecutor(max(1, len(cases))) as pool:
        for done in as_completed(
            [pool.submit(one, key, number) for number, key in enumerate(cases)]
        ):
            tell(*done.result())
    return int(wrong)


if __name__ == "__main__":
    os._exit(main())  # threads that wait for nothing any more are not waited for
