"""`stream-lab doctor`: its screen, its JSON, and its errors for bad input."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
import typer
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from stream_lab import Endpoint, bundled
from stream_lab.doctor import Diagnosis
from stream_lab.doctor.diagnosis import schema
from stream_lab.experiment.fake import Fake
from stream_lab.processes import serve
from tests.stream_lab.in_process import invoke

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def healthy() -> Iterator[Endpoint]:
    with bundled("finite", gap=0.01) as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that would end its process at once only end itself."""

    def leave(status: int) -> NoReturn:
        raise typer.Exit(status)

    monkeypatch.setattr("stream_lab.cli.doctor.leave", leave)
    monkeypatch.chdir(ROOT)


def doctor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return invoke(["doctor", *arguments])


def doctor_process(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "stream_lab", "doctor", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def test_healthy_is_status_0_on_one_screen(healthy: Endpoint) -> None:
    done = doctor_process(healthy.base_url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("healthy (sure).")
    assert "Next:" in done.stdout
    assert len(done.stdout.splitlines()) < 25


def test_a_cause_is_status_1_and_json_is_what_the_schema_says(
    healthy: Endpoint, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    done = doctor(f"{healthy.root}/nowhere", "--json", "--html", str(page))
    assert done.returncode == 1
    found = TypeAdapter(Diagnosis).validate_json(done.stdout)
    assert found.cause == "http_error"
    assert {"cause", "layer", "confidence", "evidence", "next"} <= set(json.loads(done.stdout))
    assert "http_error" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_refused_port_is_one_sentence_and_status_2(more: list[str]) -> None:
    done = doctor_process("http://127.0.0.1:9/v1", "--model", "m", *more)
    assert done.returncode == 2
    assert done.stderr == (
        "stream-lab: No connection to 127.0.0.1:9: Connection refused; "
        "start the server, or correct the address.\n"
    )
    assert bool(done.stdout) == bool(more), "scripts get the diagnosis as JSON"


def test_the_published_schema_is_the_one_in_force() -> None:
    assert (
        json.loads((ROOT / "docs" / "doctor.schema.json").read_text(encoding="utf-8")) == schema()
    )


def test_an_application_is_examined_without_a_proxy_too() -> None:
    with bundled("finite") as gone:
        root = gone.root
    done = doctor(f"{root}/text", "--app", "tests.stream_lab.doctor.stacks:app", "--json")
    found = json.loads(done.stdout)
    assert (found["cause"], found["layer"]) == ("unreachable", "proxied")
    assert "In this process, it is healthy." in found["evidence"]


def test_logs_are_read(healthy: Endpoint, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    earlier = datetime.now(UTC) - timedelta(days=1)
    log.write_text(
        f'127.0.0.1 - - [{earlier:%d/%b/%Y:%H:%M:%S} +0000] "POST /v1 HTTP/1.1" 499 0 "-" "x"\n'
        * 3,
        encoding="utf-8",
    )
    found = json.loads(doctor(healthy.base_url, "--json", "--logs", str(log)).stdout)
    assert found["cause"] == "client_ended"


def test_code_is_read_for_traps(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("import asyncio\n", encoding="utf-8")
    assert doctor("--code", str(tmp_path)).returncode == 0
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import asyncio\n\nasync def main():\n    asyncio.run(work())\n", encoding="utf-8"
    )
    done = doctor("--code", str(tmp_path), str(tmp_path / "good.py"))
    assert done.returncode == 1
    assert "bad.py:4" in done.stdout
    assert "run-in-running-loop" in done.stdout
    [found] = json.loads(doctor("--code", str(bad), "--json").stdout)
    assert (found["rule"], found["line"]) == ("run-in-running-loop", 4)
    assert doctor("--code", str(tmp_path / "nowhere")).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give an address"),
        (["http://127.0.0.1:9/x", "--code", "src"], "not both"),
        (["nonsense"], "is not an address"),
        (["ftp://host/x"], "is not an address"),
        (["http://user:secret@host/v1"], "must not hold a password"),
        (["http://127.0.0.1:99999/x"], "must be a number up to 65535"),
        (["htp://user:secret@host/v1"], "'htp://•••@host/v1' is not an address"),
        (["user:secret@host/v1"], "'•••@host/v1' is not an address"),
        (["http://user:secret@host:99999/x"], "'http://•••@host:99999/x' is not an address"),
        (["http://user:secret@host:99999/v1"], "'http://•••@host:99999/v1' is not an address"),
        (["http://host/x?api_key=secret y"], "'http://host/x?•••' is not an address"),
        (["http://[::1/v1?api_key=secret"], "'http://[::1/v1?•••' is not an address"),
        ([f"http://{'a' * 64}/x"], "is not an address"),
        (["http://127.0.0.1:9/\udcff?k=secret"], "is not an address: it is not UTF-8"),
        (["http://127.0.0.1:9/\udcff/v1"], "is not an address: it is not UTF-8"),
        (["ws://127.0.0.1:9/?\udcff"], "is not an address: it is not UTF-8"),
        (["http://a\udcffb/x"], "is not an address: its host is not valid"),
        (["http://127.0.0.1:9/\x7f"], "has a space or a control character"),
        ([f"http://{'a' * 64}/v1"], "is not an address"),
        (["http://a..b/v1"], "is not an address"),
        (["http://127.0.0.1:9/x", "--direct", "h:secret@g/v1"], "'•••@g/v1' is not an address"),
        (["http://127.0.0.1:9/x", "--post", "{no"], "is not JSON"),
        (["http://127.0.0.1:9/x", "--post", "@/no/such/file"], "cannot be read"),
        (["http://127.0.0.1:9/x", "--header", "secret"], "NAME: VALUE"),
        (["http://127.0.0.1:9/x", "--cookie", "secret"], "NAME=VALUE"),
        (["http://127.0.0.1:9/x", "--method", "DELETE"], "must be one of"),
        (["http://127.0.0.1:9/v1", "--model", "m", "--browser"], "sends only GET"),
        (["http://127.0.0.1:9/x", "--app", "nonsense"], "should look like module:app"),
        (["http://127.0.0.1:9/x", "--app", "no.such:app"], "Cannot load 'no.such:app'"),
        (["http://127.0.0.1:9/x", "--logs", "/no/such/file"], "cannot be read"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments: list[str], says: str) -> None:
    done = doctor(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "secret" not in done.stderr


echoes = FastAPI()


@echoes.post("/v1/chat/completions")
@echoes.api_route("/echo", methods=["GET", "POST", "PUT"])
async def echo(request: Request) -> JSONResponse:
    """Repeat what must not be shown at the very beginning, where the doctor quotes it."""
    sent = {name: request.headers.get(name) for name in ("authorization", "cookie", "x-key")}
    return JSONResponse(
        {**sent, "method": request.method, "body": (await request.body()).decode()}, 500
    )


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_value_of_a_header_is_in_no_output(tmp_path: Path, more: list[str]) -> None:
    page, body, log = tmp_path / "page.html", tmp_path / "body.json", tmp_path / "app.log"
    body.write_text('{"q": 1}', encoding="utf-8")
    log.write_text("ERROR app: BrokenPipeError for key-by-header-5678\n", encoding="utf-8")
    secret = ["--header", "Authorization: Bearer token-by-header-1234"]
    secret += [
        "--header",
        "X-Team: gr\u00fcn",
        "--header",
        "X-Key: key-by-header-5678",
        "--cookie",
        "session=cookie-value-9012",
    ]
    with serve(echoes) as running:
        done = doctor(
            *(f"{running.url}/echo", "--method", "put", "--post", f"@{body}", *secret),
            *("--html", str(page), "--logs", str(log), "--repeat", "2", *more),
        )
    shown = done.stdout + done.stderr + page.read_text(encoding="utf-8")
    assert done.returncode == 1
    assert "•••" in shown
    for part in ("token-by", "key-by", "cookie-value"):
        assert part not in shown
    assert "2 times http_error" in shown


def test_headers_for_a_service_are_not_sent_to_the_model_s_server_behind_it(
    healthy: Endpoint,
) -> None:
    with serve(echoes) as running:
        done = doctor(
            *(f"{running.url}/echo", "--direct", f"{running.url}/v1", "--model", "m"),
            *("--header", "X-Key: key-by-header-5678", "--json"),
        )
    found = json.loads(done.stdout)
    assert found["layer"] == "direct"
    assert '"x-key":null' in found["evidence"][1]


@pytest.mark.parametrize("way", ["--insecure", "SSL_CERT_FILE"])
def test_a_certificate_is_trusted_by_either_way(way: str, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    with Fake("finite:tokens=5", gap=0.001, tls_self_signed=True, tls_ca=authority) as fake:
        flags, variables = ([way], {}) if way[0] == "-" else ([], {way: str(authority)})
        done = invoke(["doctor", fake.base_url, "--json", *flags], **variables)
        refused = invoke(["doctor", fake.base_url, "--model", "m"])
    assert json.loads(done.stdout)["cause"] == "healthy", done.stdout
    assert refused.returncode == 2
    assert "SSL_CERT_FILE" in refused.stderr
    assert "--insecure" in refused.stderr


def test_a_key_is_shown_nowhere(
    healthy: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-very-secret-key")
    page = tmp_path / "page.html"
    done = doctor(healthy.base_url, "--json", "--html", str(page))
    assert "a-very-secret-key" not in done.stdout + done.stderr + page.read_text(encoding="utf-8")
