"""A key of the environment is in nothing that commands and library leave."""

import asyncio
import copy
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import openai
import pytest
import typer

from fake_vllm.cli import main as fake_vllm_main
from fake_vllm.testing import FakeVllm
from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_lab.redact import spellings_of
from tests.stream_lab.in_process import invoke
from tests.stream_lab.notebooks.tiny_notebooks import write

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


def assert_silent(text: str) -> None:
    found = [form for form in spellings_of([KEY]) if form in text]
    assert not found


@pytest.mark.parametrize(
    "command",
    [
        "doctor {url} --html {out}/page.html",
        "doctor {url} --json",
        "evidence --base-url {url} --timeout 0.6 --out {out}/evidence",
        "run --base-url {url} --notebooks {notebooks} --out {out}/runs",
    ],
    ids=lambda command: " ".join(command.replace("{", "").replace("}", "").split()[::2]),
)
def test_no_command_leaves_the_key(command: str, server: FakeVllm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write(tmp_path / "notebooks", "01", TELLS)
    places = {"url": server.base_url, "out": out, "notebooks": tmp_path / "notebooks"}
    arguments = command.format(**places).split()
    done = invoke(arguments)
    assert done.returncode in (0, 1, 2)
    assert "requires a key" not in done.stderr
    assert_silent(done.stdout + done.stderr)
    made = [path for path in out.rglob("*") if path.is_file()]
    for path in made:
        assert_silent(path.read_bytes().decode("utf-8", "replace"))
    assert made or "{out}" not in command


def test_a_recording_does_not_hold_the_key(
    server: FakeVllm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "recording"
    fake_vllm_main(["record", server.base_url, "--out", str(out)])
    assert_silent(out.read_bytes().decode("utf-8", "replace") + capsys.readouterr().out)


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
    for made in (model, copy.copy(model), copy.deepcopy(model), model.bind(stop=["x"])):
        shown.append(pickle.dumps(made).decode("latin-1"))
    assert_silent("\n".join(shown))
