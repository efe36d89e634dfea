"""Prefixes, times, JSON and tracebacks: a line means the same wherever it was collected."""

import gzip
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lab.doctor.logs import Line, Who, Worker, lines_of

AT = datetime(2026, 11, 27, 10, 0, 0)
NGINX = (
    "2026/11/27 10:00:00 [error] 8#8: *2 upstream prematurely closed connection while reading upstream, "
    'client: 10.0.0.9, server: , request: "POST /chat HTTP/1.1", upstream: "http://10.0.0.1:8000/chat"'
)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine two hours ahead of UTC, where a zone that is ignored shows."""
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def read(text: str, tmp_path: Path, name: str = "log") -> list[Line]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return lines_of([file])


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "2026-11-27T08:00:00.123456789Z {}",  # docker logs -t, kubectl logs --timestamps
        "nginx-1  | {}",  # docker compose logs
        "nginx-1  | 2026-11-27T08:00:00.123456789Z {}",  # the same with -t
        "2026-11-27T08:00:00.123456789Z stderr F {}",  # the CRI's files
        "[pod/nginx-7d4/nginx] 2026-11-27T08:00:00Z {}",  # kubectl logs --prefix --timestamps
        "Nov 27 10:00:00 web1 nginx[123]: {}",  # a journal, syslog
        "<134>Nov 27 10:00:00 web1 nginx[123]: {}",
        "<134>1 2026-11-27T08:00:00.000Z web1 nginx 123 - - {}",  # RFC 5424
        "2026-11-27T10:00:00+0200 web1 nginx[123]: {}",  # journalctl -o short-iso
        "2026-11-27T08:00:00.123456+00:00 app[web.1]: {}",  # Heroku
        "\x1b[36mnginx-1  | \x1b[0m{}",
        "nginx-7d4 nginx {}",  # stern
    ],
)
def test_a_prefix_changes_neither_the_meaning_nor_the_time(form: str, tmp_path: Path) -> None:
    [line] = read(form.format(NGINX) + "\n", tmp_path)
    assert (line.who, line.path) == (Who.SERVER, "/chat")
    assert line.at is not None
    assert line.at.replace(microsecond=0) == AT


@pytest.mark.parametrize(
    "wrapped",
    [
        {"log": f"{NGINX}\n", "stream": "stderr", "time": "2026-11-27T08:00:00.5Z"},
        {"MESSAGE": NGINX, "__REALTIME_TIMESTAMP": "1795766400500000", "_PID": "8"},
        {"level": "error", "ts": 1795766400.5, "msg": NGINX},
        {"severity": "ERROR", "timestamp": "2026-11-27T08:00:00Z", "textPayload": NGINX},
    ],
)
def test_a_line_wrapped_into_json_keeps_its_meaning(
    wrapped: dict[str, object], tmp_path: Path
) -> None:
    [line] = read(json.dumps(wrapped) + "\n", tmp_path)
    assert (line.who, line.path) == (Who.SERVER, "/chat")
    assert line.at is not None
    assert line.at.replace(microsecond=0) == AT


FIELDS = {
    "status": "499",
    "request_method": "POST",
    "uri": "/chat",
    "http_user_agent": "python-httpx/0.28",
    "time_iso8601": "2026-11-27T08:00:00+00:00",
    "request_time": "30.001",
    "upstream_status": "-",
}


@given(order=st.permutations(list(FIELDS)))
def test_the_order_of_keys_has_no_meaning(
    order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "keys.json"
    file.write_text(json.dumps({key: FIELDS[key] for key in order}) + "\n", encoding="utf-8")
    [line] = lines_of([file])
    assert (line.who, line.path, line.method) == (Who.CLIENT, "/chat", "POST")
    assert line.agent == "python-httpx/0.28"


@pytest.mark.parametrize(
    "when",
    [
        "2026-11-27T08:00:00Z",
        "2026-11-27T08:00:00.250Z",
        "2026-11-27 08:00:00 +0000",
        "2026-11-27 08:00:00,250 UTC",
        "2026-11-27T09:00:00+01:00",
        "2026-11-27T03:00:00-0500",
        "2026-11-27 10:00:00,250",
        "2026/11/27 10:00:00",
        "27/Nov/2026:08:00:00 +0000",
        "Fri Nov 27 10:00:00.250 2026",
    ],
)
def test_a_time_is_read_with_its_zone_and_its_fraction(when: str, tmp_path: Path) -> None:
    [line] = read(f"[{when}] [7] [CRITICAL] WORKER TIMEOUT (pid:9)\n", tmp_path)
    assert line.at is not None
    assert line.at.replace(microsecond=0) == AT


@pytest.mark.parametrize("when", ["2026-13-45 10:00:00", "10:00:00", "99/Foo/2026:10:00:00", ""])
def test_a_time_that_cannot_be_read_is_no_time(when: str, tmp_path: Path) -> None:
    [line] = read(f"{when} WORKER TIMEOUT (pid:9)\n", tmp_path)
    assert line.at is None


def test_a_date_without_a_year_is_not_in_the_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_lab.doctor.logs.times._now", lambda: datetime(2027, 1, 5))
    text = "".join(
        f"{day} 10:00:00 web1 gunicorn[7]: WORKER TIMEOUT (pid:9)\n" for day in ("Dec 31", "Jan  5")
    )
    years = [line.at.year for line in read(text, tmp_path) if line.at is not None]
    assert years == [2026, 2027]


def test_a_rotated_log_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "error.log.2.gz"
    file.write_bytes(gzip.compress(f"{NGINX}\n".encode()))
    assert [line.who for line in lines_of([file])] == [Who.SERVER]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(OSError, match="compression is broken"):
        lines_of([file])


TRACEBACK = """\
Traceback (most recent call last):
  File "/site-packages/{file}", line 360, in method
    code()
{raised}
"""


@pytest.mark.parametrize(
    ("file", "raised", "who"),
    [
        ("gunicorn/http/wsgi.py", "BrokenPipeError: [Errno 32] Broken pipe", Who.CLIENT),
        ("gunicorn/http/wsgi.py", "ConnectionResetError: [Errno 104] x", Who.CLIENT),
        ("starlette/requests.py", "starlette.requests.ClientDisconnect", Who.CLIENT),
        ("werkzeug/serving.py", "BrokenPipeError: [Errno 32] Broken pipe", Who.CLIENT),
        ("aiohttp/web_response.py", "ConnectionResetError: Cannot write to closing", Who.CLIENT),
        (
            "uvicorn/protocols/websockets/x.py",
            "websockets.exceptions.ConnectionClosedError: no close frame",
            Who.CLIENT,
        ),
        (
            "starlette/websockets.py",
            "starlette.websockets.WebSocketDisconnect: (1006, '')",
            Who.CLIENT,
        ),
        ("starlette/middleware/base.py", "RuntimeError: No response returned.", Who.CLIENT),
        ("aiohttp/client_reqrep.py", "ConnectionResetError: [Errno 104] x", Who.SERVER),
        ("httpcore/_sync/http11.py", "BrokenPipeError: [Errno 32] Broken pipe", Who.SERVER),
        ("httpx/_transports/default.py", "httpx.ReadError: [Errno 104] x", Who.SERVER),
        ("openai/_base_client.py", "openai.APIConnectionError: Connection error.", Who.SERVER),
        ("urllib3/response.py", "urllib3.exceptions.ProtocolError: x", Who.SERVER),
        ("app/main.py", "ConnectionResetError: [Errno 104] x", None),
        ("app/main.py", "KeyError: 'x'", Who.SERVER),
        ("app/main.py", "stream_deadline.StreamDeadlineExceeded: x", Who.SERVER),
    ],
)
@pytest.mark.parametrize("prefix", ["", "api-1  | ", "2026-11-27T08:00:00.1Z "])
def test_a_traceback_shows_whose_connection_broke(
    file: str, raised: str, who: Who | None, prefix: str, tmp_path: Path
) -> None:
    text = TRACEBACK.format(file=file, raised=raised)
    lines = "".join(f"{prefix}{line}\n" for line in text.splitlines())
    [line] = read(f'{lines}{prefix}INFO:     10.0.0.1:4 - "POST /chat HTTP/1.1" 200 OK\n', tmp_path)
    assert line.who == who
    assert (line.at is not None) == prefix.startswith("2026")


def test_the_cause_of_a_traceback_is_read_through_its_chain_and_its_groups(tmp_path: Path) -> None:
    chained = (
        "ERROR:    Exception in ASGI application\n"
        + TRACEBACK.format(file="aiohttp/client.py", raised="ConnectionResetError: [Errno 104] x")
        + "\nThe above exception was the direct cause of the following exception:\n\n"
        + TRACEBACK.format(file="app/main.py", raised="aiohttp.client_exceptions.ClientOSError: x")
    )
    group = """\
ERROR:    Exception in ASGI application
  + Exception Group Traceback (most recent call last):
  |   File "/site-packages/uvicorn/x.py", line 1, in run_asgi
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/site-packages/httpx/_client.py", line 1, in send
    | httpx.ReadError: [Errno 104] Connection reset by peer
    +------------------------------------
"""
    for text in (chained, group):
        [line] = read(f'{text}INFO:     10.0.0.1:4 - "POST /chat HTTP/1.1" 200 OK\n', tmp_path)
        assert line.who is Who.SERVER
        assert "own call" in line.meaning
        assert line.text.endswith(("ClientOSError: x", "Connection reset by peer"))


USING = "[2026-11-27 08:00:00 +0000] [7] [INFO] Using worker: {}\n"
TIMEOUT = "[2026-11-27 08:00:30 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:9)\n"
KILLED = "[2026-11-27 08:00:31 +0000] [9] [ERROR] Error handling request /chat\n"


@pytest.mark.parametrize(
    ("log", "worker"),
    [
        (USING.format("sync") + TIMEOUT, Worker.SYNC),
        (USING.format("uvicorn_worker.UvicornWorker") + TIMEOUT, Worker.LOOP),
        (USING.format("gthread") + TIMEOUT, Worker.LOOP),
        (TIMEOUT, Worker.UNKNOWN),
        (
            TIMEOUT
            + KILLED
            + TRACEBACK.format(file="gunicorn/workers/sync.py", raised="SystemExit: 1"),
            Worker.SYNC,
        ),
        (
            TIMEOUT + TRACEBACK.format(file="gunicorn/workers/ggevent.py", raised="SystemExit: 1"),
            Worker.LOOP,
        ),
    ],
)
def test_a_killed_worker_has_the_class_that_the_log_shows(
    log: str, worker: Worker, tmp_path: Path
) -> None:
    [line] = [each for each in read(log, tmp_path) if each.worker is not None]
    assert line.worker is worker
    words = {"sync worker": worker is not Worker.LOOP, "event loop": worker is not Worker.SYNC}
    assert {word: word in line.meaning for word in words} == words
    assert ("--timeout" in line.advice) == (worker is not Worker.LOOP)


ASGI = "ERROR:    Exception in ASGI application\n" + TRACEBACK.format(
    file="app.py", raised="KeyError"
)
APACHE = (
    "[Fri Nov 27 10:00:00.6 2026] [proxy_http:error] [pid 9:tid 1] (70007)The timeout specified has expired: "
    "[client 10.0.0.1:5] AH01102: error reading status line from remote server localhost:8000\n"
    "[Fri Nov 27 10:00:00.6 2026] [proxy:error] [pid 9:tid 1] [client 10.0.0.1:5] "
    "AH00898: Error reading from remote server returned by /other\n"
)


@pytest.mark.parametrize(
    ("log", "path"),
    [
        (TIMEOUT + KILLED.replace("/chat", "/other"), "/other"),
        (TIMEOUT + KILLED.replace("[9]", "[8]"), ""),  # another worker's
        (
            f'INFO:     10.0.0.1:5 - "GET /other HTTP/1.1" 500 Internal Server Error\n{ASGI}',
            "/other",
        ),
        (f'INFO:     10.0.0.1:5 - "GET /other HTTP/1.1" 200 OK\n{ASGI}', ""),
        (APACHE, "/other"),
        ("2026-11-27 10:00:00 ERROR django.request: Internal Server Error: /other\n", "/other"),
        ("2026-11-27 10:00:00 ERROR app: Exception on /other [POST]\n", "/other"),
    ],
)
def test_a_line_has_the_path_that_its_neighbour_names(log: str, path: str, tmp_path: Path) -> None:
    assert read(log, tmp_path)[0].path == path


def test_two_services_in_one_log_have_each_their_own_workers(tmp_path: Path) -> None:
    log = "".join(f"api-1 | {line}" for line in (USING.format("sync"), TIMEOUT)) + "".join(
        f"chat-1 | {line}" for line in (USING.format("gevent"), TIMEOUT)
    )
    assert [line.worker for line in read(log, tmp_path)] == [Worker.SYNC, Worker.LOOP]


@given(data=st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.log"
    file.write_bytes(b'2026-11-27T08:00:00Z {"log":' + data + b"\n" + data)
    lines_of([file])
