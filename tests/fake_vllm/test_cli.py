"""The command `fake-vllm`: its output, its options and its end."""

import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx2
import pytest

from fake_vllm import cli
from fake_vllm.__main__ import run as run_command
from fake_vllm.testing import FakeVllm
from stream_lab.experiment.fake import Fake
from tests.fake_vllm.conftest import Certificates
from tests.fake_vllm.raw import arrivals, ask

COMMAND = [sys.executable, "-m", "fake_vllm"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


def test_it_prints_its_address_and_its_scenario() -> None:
    process, line = start("--scenario", "endless", "--served-model-name", "mine")
    try:
        assert "'mine'" in line
        assert "scenario endless" in line
        assert (
            httpx2.get(f"{line.split()[1]}/models", trust_env=False).json()["data"][0]["id"]
            == "mine"
        )
    finally:
        process.terminate()
        assert process.wait(timeout=5) is not None


def test_a_taken_port_is_one_clear_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Choose another port" in done.stderr


def test_an_unknown_scenario_is_one_clear_sentence() -> None:
    done = run("--port", "0", "--scenario", "babble")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "There is no scenario 'babble'" in done.stderr


def test_a_closed_pipe_ends_the_list_quietly() -> None:
    code = "import sys; from fake_vllm import cli; sys.stdin.read(); cli.main(['scenarios'])"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()  # before a line is written
    process.stdout = None
    _, errors = process.communicate("", timeout=30)
    assert (process.returncode, errors) == (141, "")


def test_it_prints_its_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("fake-vllm ")


def test_scenarios_are_listed_one_per_line() -> None:
    assert [line.split()[0] for line in run("scenarios").stdout.splitlines()][:2] == [
        "finite",
        "endless",
    ]


def test_it_ends_with_its_lifetime() -> None:
    process, _ = start("--lifetime", "0.3")
    assert process.wait(timeout=10) == 0


def test_it_ends_when_its_standard_input_closes() -> None:
    process, _ = start("--watch-stdin")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=10) == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_streams_as_on_a_vllm_that_is_shutting_down(name: str) -> None:
    process, line = start("--scenario", "endless", "--gap-ms", "100000")
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with httpx2.stream(
        "POST", f"{line.split()[1]}/chat/completions", json=body, trust_env=False
    ) as answer:
        lines = (line for line in answer.iter_lines() if line)
        next(lines)
        process.send_signal(getattr(signal, name))
        *_, finish, done = lines
    assert '"finish_reason":"abort"' in finish
    assert done == "data: [DONE]"
    assert process.wait(timeout=5) == 0


def test_a_signal_ends_the_server_during_an_endless_answer() -> None:
    process, line = start("--scenario", "stall:after=1")
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with httpx2.stream(
        "POST", f"{line.split()[1]}/chat/completions", json=body, trust_env=False
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        process.terminate()
        with pytest.raises(httpx2.RemoteProtocolError):
            list(lines)
    assert process.wait(timeout=5) == 0


def test_it_speaks_tls_and_says_so(certificates: Certificates) -> None:
    _, certificate, key, _ = certificates
    with (
        Fake("finite:tokens=3", gap=0, ssl_certfile=certificate, ssl_keyfile=key) as fake,
        httpx2.Client(verify=certificates.trusting, trust_env=False) as client,
    ):
        assert fake.base_url.startswith("https://127.0.0.1:")
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        answer = client.post(f"{fake.base_url}/chat/completions", json=body)
        assert answer.text.endswith("data: [DONE]\n\n")
        with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
            httpx2.get(f"{fake.base_url}/models", trust_env=False)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--ssl-certfile", "{certificate}"], "it is not a certificate with its own key"),
        (
            ["--ssl-certfile", "{certificate}", "--ssl-keyfile", "{other_key}"],
            "it is not a certificate with its own key",
        ),
        (["--ssl-certfile", "{certificate}", "--ssl-keyfile", "/nowhere.pem"], "No such file"),
        (["--ssl-certfile", "/nowhere.pem"], "No such file"),
        (["--ssl-keyfile", "{key}"], "--ssl-keyfile needs --ssl-certfile"),
    ],
)
def test_bad_tls_files_are_one_clear_sentence(
    flags: list[str], says: str, certificates: Certificates
) -> None:
    done = run("--port", "0", *(flag.format(**certificates._asdict()) for flag in flags))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert done.stdout == ""


def test_a_certificate_made_on_the_spot_can_be_trusted_by_its_file(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    with FakeVllm("finite:tokens=1", gap=0, tls_self_signed=True, tls_ca=trusted) as fake:
        assert fake.base_url.startswith("https://")
        with httpx2.Client(
            verify=ssl.create_default_context(cafile=str(trusted)), trust_env=False
        ) as client:
            body = {"messages": [{"role": "user", "content": "Hi"}]}
            assert client.post(f"{fake.base_url}/chat/completions", json=body).status_code == 200
        assert fake.until_over().end == "finished"
        with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
            httpx2.get(f"{fake.base_url}/models", trust_env=False)


def test_it_listens_on_a_unix_socket_and_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "fake.sock"
    process, line = start("--uds", str(path))
    assert f"unix:{path}" in line
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        got = b"".join(iter(lambda: client.recv(65536), b""))
    assert got.endswith(b'{"version":"0.32.0"}')
    process.terminate()
    assert process.wait(timeout=5) == 0
    assert not path.exists()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_it_runs_on_either_event_loop(loop: str) -> None:
    with (
        FakeVllm("finite:tokens=3", gap=0.005, loop=loop) as fake,
        ask(fake, "reset:after=2") as client,
    ):
        with pytest.raises(ConnectionResetError):
            list(arrivals(client))
        assert fake.until_over().end == "reset"


def test_vllms_keep_alive_flag_fills_silence_with_comments() -> None:
    with (
        FakeVllm("finite:tokens=2", gap=0.25, sse_keep_alive_interval=0.1) as fake,
        ask(fake, "") as client,
    ):
        body = b"".join(data for _, data in arrivals(client, until=b"[DONE]"))
    assert body.count(b": keep-alive\n\n") == 4
    assert body.count(b"data: ") == 1 + 2 + 1 + 1


def test_the_model_says_the_text_of_a_file(tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    told.write_text("Once upon a time\nthere was a  stream.")
    with FakeVllm(gap=0, text=told) as fake:
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        choice = httpx2.post(
            f"{fake.base_url}/chat/completions", json=body, trust_env=False
        ).json()["choices"][0]
    assert choice["message"]["content"] == "Once upon a time\nthere was a  stream."
    assert choice["finish_reason"] == "stop"


def test_it_ends_cleanly_during_its_warm_up() -> None:
    """A thread that is stopped inside pydantic's Rust would crash the process."""
    code = """
import sys, time
from fake_vllm import api, cli
from fake_vllm.app import App
from fake_vllm.http import server
body = b'{"messages": [{"role": "user", "content": "x"}]}'
def warm_up():
    end = time.monotonic() + 1
    while time.monotonic() < end:
        api.chat(api.Rules("fake-model", 64), "application/json", body, None)
App.warm_up, server.WARM_AFTER = lambda self: warm_up(), 0
sys.setswitchinterval(1e-5)
sys.exit(cli.main(["--port", "0", "--lifetime", "0.3"]))
"""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_its_modules_are_loaded_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt if name == "main" else AttributeError(name)

    monkeypatch.setitem(sys.modules, "fake_vllm.cli", Loading("fake_vllm.cli"))
    with pytest.raises(SystemExit) as ended:
        run_command()
    assert ended.value.code == 130


def test_ctrl_c_before_it_listens_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_serve", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 130
    assert capsys.readouterr().err == ""
