"""A key of the environment is in nothing that commands and library leave."""

import asyncio
import copy
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NoReturn

import openai
import pytest
import typer
from langchain_core.globals import set_debug
from langchain_core.load import dumpd

from fake_vllm.cli import main as fake_vllm_main
from fake_vllm.testing import FakeVllm
from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_lab.experiment import pictures
from stream_lab.experiment.attempts_run import Trial
from stream_lab.experiment.endpoint import Endpoint, EndpointError
from stream_lab.plots.kit import Picture
from tests.stream_lab.in_process import invoke
from tests.stream_lab.notebooks.tiny_notebooks import write

sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))
from canary import found_in

pytestmark = pytest.mark.usefixtures("kept_workers")

KEY = "sk-canary/7d2f+41c9a8e6b3="
TELLS = """
import base64, json, os
from urllib.parse import quote
from stream_lab import open_endpoint
key = os.environ["OPENAI_API_KEY"]
print(key, repr(key), json.dumps({"key": key}), quote(key, safe=""), key.encode().hex())
print(base64.b64encode(f"user:{key}".encode()).decode())
server = open_endpoint(BASE_URL, MODEL)
e = Evidence("01"); e.claim(f"it has {key}", expected="fake-model", found=server.model); e.table()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite", api_key=KEY, gap=0.01) as fake:
        yield fake


@pytest.fixture(autouse=True)
def canary(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(status: int) -> NoReturn:
        raise typer.Exit(status)

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("stream_lab.cli.doctor.leave", leave)


def assert_silent(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    assert not found_in(data, KEY)


@pytest.mark.parametrize("key", [f"{KEY}\x1b", f"{KEY}日本", f"{KEY}\udcff", f"{KEY}\n{KEY}"])
@pytest.mark.parametrize("command", ["doctor {url}", "evidence --base-url {url} --out {out}"])
def test_a_key_that_no_header_can_hold_is_one_sentence_without_it(
    command: str, key: str, server: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    done = invoke(command.format(url=server.base_url, out=tmp_path).split())
    assert done.returncode == 2
    assert "The key in OPENAI_API_KEY has a control character" in done.stderr
    assert_silent(done.stdout + done.stderr)


@pytest.mark.parametrize(
    "command",
    [
        "doctor {url} --html {out}/page.html",
        "doctor {url} --json",
        "evidence --base-url {url} --timeout 0.6 --json --out {out}/evidence",
        "run --base-url {url} --notebooks {notebooks} --out {out}/runs",
        "history {out}/history.sqlite --html {out}/trend.html",
    ],
    ids=lambda command: " ".join(command.replace("{", "").replace("}", "").split()[::2]),
)
def test_no_command_leaves_the_key(command: str, server: FakeVllm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write(tmp_path / "notebooks", "01", TELLS)
    settings = {
        "endpoints": {"gpu": {"url": server.base_url}},
        "folder": str(tmp_path / "notebooks"),
        "outputs": str(out / "regress"),
        "history": str(out / "history.sqlite"),
        "retries": 0,
    }
    config = tmp_path / "regress.yaml"
    config.write_text(json.dumps(settings), encoding="utf-8")
    places = {"url": server.base_url, "out": out, "notebooks": tmp_path / "notebooks"}
    if command.startswith("history"):  # of a run that this test makes first
        ran = invoke(["regress", "--config", str(config)])
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert_silent(ran.stdout + ran.stderr)
    arguments = command.format(**places).split()
    done = invoke(arguments)
    assert done.returncode in (0, 1, 2)
    assert "requires a key" not in done.stderr
    assert_silent(done.stdout + done.stderr)
    made = [path for path in out.rglob("*") if path.is_file()]
    for path in made:
        assert_silent(path.read_bytes())
    assert made or "{out}" not in command


class Repeats(BaseHTTPRequestHandler):
    """A server that repeats the key in errors, or as its model's name."""

    in_name = False

    def do_GET(self) -> None:
        models = {"data": [{"id": KEY if self.in_name else "m"}]}
        if self.path.endswith("/models"):
            self._send(200, models)
        else:
            self._send(404, {})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("max_tokens") == 1:
            self._send(200, {})
        else:
            self._send(400, {"error": {"message": f"no {KEY}", "type": KEY, "code": KEY}})

    def _send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def repeating(*, in_name: bool) -> Iterator[str]:
    """The address of that server."""
    handler = type("Repeating", (Repeats,), {"in_name": in_name})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_evidence_has_no_key_that_the_server_repeats_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    drawn = pictures.at_work

    def draw(trials: list[Trial], *, title: str) -> Picture:
        titles.extend([title, *(trial.call.recording.error for trial in trials)])
        return drawn(trials, title=title)

    monkeypatch.setattr(pictures, "at_work", draw)
    with repeating(in_name=False) as url:
        done = invoke(
            ["evidence", "--base-url", url, "--timeout", "0.5", "--out", str(tmp_path), "--json"]
        )
    kept = (tmp_path / "evidence.json").read_text(encoding="utf-8")
    assert "no •••" in kept
    assert_silent("\n".join([done.stdout, done.stderr, kept, *titles]))


def test_a_run_has_no_key_that_the_server_repeats_as_the_name_of_its_model(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", TELLS)
    with repeating(in_name=True) as url:
        done = invoke(
            [
                *("run", "--base-url", url, "--out", str(tmp_path / "runs")),
                *("--notebooks", str(tmp_path / "notebooks")),
            ]
        )
    assert "model '•••'" in done.stdout
    made = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert {"report.html", "verdicts.json"} <= {path.name for path in made}
    assert_silent(done.stdout + done.stderr)
    for path in made:
        assert_silent(path.read_bytes())


def test_an_endpoint_shows_no_key_that_the_server_repeats_as_a_name() -> None:
    with repeating(in_name=True) as url:
        with pytest.raises(EndpointError, match="it serves: •••") as raised:
            Endpoint(url, "another")
        server = Endpoint(url)
    assert server.model == KEY
    assert_silent(str(raised.value) + repr(server))


def test_a_recording_does_not_hold_the_key(
    server: FakeVllm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "recording"
    fake_vllm_main(["record", server.base_url, "--out", str(out)])
    assert_silent(out.read_bytes())
    assert_silent(capsys.readouterr().out)


@pytest.mark.parametrize("key", [{}, {"api_key": KEY}], ids=["of the environment", "the same"])
def test_the_library_shows_the_key_nowhere(
    key: dict[str, str], server: FakeVllm, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model = ChatVllm(
        model=server.model, base_url=server.base_url, timeout=0.05, max_retries=0, **key
    )
    late: list[BaseException] = []
    for call in (lambda: model.invoke("Why?"), lambda: asyncio.run(model.ainvoke("Why?"))):
        with pytest.raises(StreamDeadlineExceeded) as raised:
            call()  # type: ignore[no-untyped-call]
        late.append(raised.value)
    wrong = ChatVllm(model="none", base_url=server.base_url, **key)
    with pytest.raises(openai.NotFoundError) as refused:
        wrong.invoke("Why?")
    late.append(refused.value)
    shown = [repr(model), str(model), *map(repr, late), *map(str, late), caplog.text]
    shown += [model.model_dump_json(), json.dumps(dumpd(model)), repr(model._identifying_params)]
    shown += ["".join(traceback.format_exception(error)) for error in late]
    assert "POST" in caplog.text  # what the client logs at DEBUG was searched
    for made in (model, copy.copy(model), copy.deepcopy(model), model.bind(stop=["x"]), *late[:2]):
        assert_silent(pickle.dumps(made))
    assert_silent("\n".join(shown))


def test_langchain_s_debug_output_and_events_do_not_show_the_key(
    server: FakeVllm, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ChatVllm(model=server.model, base_url=server.base_url, timeout=5)

    async def events() -> list[str]:
        return [repr(each) async for each in model.astream_events("Why?", version="v2")]

    set_debug(True)
    try:
        answer = model.invoke("Why?", max_tokens=3)
        told = asyncio.run(events())
    finally:
        set_debug(False)
    printed = capsys.readouterr()
    assert "llm/start" in printed.out.lower()
    assert_silent("\n".join([printed.out, printed.err, repr(answer), *told]))
