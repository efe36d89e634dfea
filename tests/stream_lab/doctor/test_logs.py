"""What logs add to a diagnosis: lines as the programs write them, and their effect."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from stream_lab.doctor import Cause, Diagnosis, Target
from stream_lab.doctor.logs import Who, consider, lines_of

NOW = datetime(2026, 11, 21, 13, 19, 23)
UPSTREAM = "2026/11/21 13:19:23 [error] 81#81: *2 upstream timed out (110: Connection timed out) while reading upstream, client: 127.0.0.1"
DIED = "2026/11/21 13:19:23 [error] 82#82: *4 upstream prematurely closed connection while reading upstream, client: 127.0.0.1"
LEFT = '127.0.0.1 - - [21/Nov/2026:13:19:23 +0000] "POST /chat HTTP/1.1" 499 0 "-" "python-httpx"'
KILLED = "[2026-11-21 13:19:23 +0000] [4711] [CRITICAL] WORKER TIMEOUT (pid:4712)"
STOPPED = "[2026-11-21 13:19:23 +0000] [4711] [INFO] Handling signal: term"
DISCONNECTED = (
    "2026-11-21 13:19:23,104 INFO stream_deadline.asgi: "
    "POST /chat after 4.50 s: the client disconnected; the work was cancelled"
)
FINE = (
    '127.0.0.1 - - [21/Nov/2026:13:19:23 +0000] "POST /chat HTTP/1.1" 200 1234 "-" "python-httpx"'
)


def diagnosis(cause: Cause) -> Diagnosis:
    return Diagnosis(cause, 0.7, ["The connection was closed."], "Look.")


def after(
    cause: Cause,
    tmp_path: Path,
    *lines: str,
    minutes: float = 0,
    targets: tuple[Target, ...] = (),
    flowed: bool | None = None,
) -> Diagnosis:
    file = tmp_path / "error.log"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    began = NOW + timedelta(minutes=minutes) - timedelta(seconds=5)
    return consider(
        diagnosis(cause),
        lines_of([file]),
        since=began,
        until=began + timedelta(seconds=6),
        targets=targets,
        flowed=flowed,
    )


@pytest.mark.parametrize(
    ("line", "who"),
    [
        (UPSTREAM, Who.PROXY),
        (DIED, Who.SERVER),
        (LEFT, Who.CLIENT),
        (KILLED, Who.SERVER),
        (STOPPED, Who.SERVER),
        (DISCONNECTED, Who.CLIENT),
        (FINE, None),
    ],
)
def test_a_line_shows_which_side_ended_the_stream_and_when(
    line: str, who: Who | None, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    file.write_text(f"{line}\n", encoding="utf-8")
    found = lines_of([file])
    assert [each.who for each in found] == ([who] if who else [])
    assert all(each.at is not None for each in found)


@pytest.mark.parametrize(
    ("seen", "lines", "cause"),
    [
        (Cause.SERVER_ENDED, [UPSTREAM], Cause.PROXY_ENDED),
        (Cause.SERVER_ENDED, [DIED], Cause.SERVER_ENDED),
        (Cause.SERVER_ENDED, [LEFT], Cause.PROXY_ENDED),
        (Cause.SERVER_ENDED, [KILLED, DIED], Cause.LOOP_BLOCKED),
        (Cause.IDLE_CUT, [UPSTREAM], Cause.IDLE_CUT),
        (Cause.NEVER_ENDS, [LEFT], Cause.NEVER_ENDS),
        (Cause.HEALTHY, [FINE], Cause.HEALTHY),
        (Cause.HEALTHY, [STOPPED, FINE], Cause.HEALTHY),
        (Cause.HEALTHY, [LEFT, LEFT, UPSTREAM], Cause.CLIENT_ENDED),
        (Cause.HEALTHY, [UPSTREAM], Cause.PROXY_ENDED),
        (Cause.HEALTHY, [KILLED], Cause.LOOP_BLOCKED),
    ],
)
def test_the_streams_and_the_log_together_give_the_cause(
    seen: Cause, lines: list[str], cause: Cause, tmp_path: Path
) -> None:
    found = after(seen, tmp_path, *lines)
    assert found.cause is cause
    assert any("Log:" in sentence for sentence in found.evidence) or not lines or lines[-1] is FINE


def test_a_line_of_another_time_says_nothing_of_a_cut_now(tmp_path: Path) -> None:
    assert after(Cause.SERVER_ENDED, tmp_path, UPSTREAM, minutes=10) == diagnosis(
        Cause.SERVER_ENDED
    )


CHAT = Target.of("http://host/api/chat", post="{}")
WAITING = "2026/11/21 13:19:23 [info] 8#8: *1 client closed connection while waiting for request, client: 127.0.0.1"
UNDATED_PIPE = "BrokenPipeError: [Errno 32] Broken pipe"
UNDATED_ERROR = "ERROR:    Exception in ASGI application"
SYNC = "[2026-11-21 13:19:00 +0000] [4711] [INFO] Using worker: sync"
LOOP = "[2026-11-21 13:19:00 +0000] [4711] [INFO] Using worker: uvicorn_worker.UvicornWorker"
OWN_RESET = "2026-11-21 13:19:23,000 ERROR app: model call failed: ConnectionResetError(104, 'x')"
OWN_504 = 'INFO:     127.0.0.1:5 - "POST /chat HTTP/1.1" 504 Gateway Timeout'


def at(path: str, *, method: str = "POST", agent: str = "python-httpx", status: int = 499) -> str:
    return (
        LEFT.replace("POST /chat", f"{method} {path}")
        .replace("499", str(status))
        .replace("python-httpx", agent)
    )


@pytest.mark.parametrize(
    "line",
    [
        WAITING,
        at("/other"),
        at("/chat/history"),
        at("/"),
        at("/api/chat", method="GET"),
        at("/api/chat", method="OPTIONS"),
        at("/api/chat", agent="kube-probe/1.30"),
        at("/health", agent="curl/8.5.0"),
        at("/api/chat", agent="stream-lab-doctor"),
        UPSTREAM.replace(
            ", client: 127.0.0.1", ', client: 127.0.0.1, request: "POST /other HTTP/1.1"'
        ),
        STOPPED,
        "INFO:     Shutting down",
        "[2026-11-21 13:19:23 +0000] [7] [WARNING] Worker (pid:9) was sent SIGTERM!",
        FINE,
    ],
)
@pytest.mark.parametrize("minutes", [0, 30])
def test_a_line_of_another_request_does_not_make_a_stream_ill(
    line: str, minutes: float, tmp_path: Path
) -> None:
    found = after(Cause.HEALTHY, tmp_path, line, minutes=minutes, targets=(CHAT,))
    if "stream-lab-doctor" in line and minutes:
        return  # another examination, whose disconnect may have been seen by its user
    assert found == diagnosis(Cause.HEALTHY)


@pytest.mark.parametrize(
    "path", ["/api/chat", "/chat", "/gateway/api/chat", "/api/chat?stream=1", "/api/chat/"]
)
def test_a_proxy_may_remove_or_add_the_beginning_of_a_path(path: str, tmp_path: Path) -> None:
    found = after(Cause.HEALTHY, tmp_path, at(path), targets=(CHAT,))
    assert found.cause is Cause.CLIENT_ENDED


@pytest.mark.parametrize(("days", "cause"), [(13, Cause.CLIENT_ENDED), (33, Cause.HEALTHY)])
def test_a_line_of_last_month_is_not_about_today(days: int, cause: Cause, tmp_path: Path) -> None:
    assert after(Cause.HEALTHY, tmp_path, LEFT, minutes=days * 24 * 60).cause is cause


def test_a_time_without_a_zone_may_be_that_of_a_container_in_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC-9")
    time.tzset()
    try:
        local = f"{NOW:%Y/%m/%d %H:%M:%S}"
        utc = f"{NOW - timedelta(hours=9):%Y/%m/%d %H:%M:%S}"
        other = f"{NOW - timedelta(hours=5):%Y/%m/%d %H:%M:%S}"
        causes = [
            after(Cause.SERVER_ENDED, tmp_path, UPSTREAM.replace("2026/11/21 13:19:23", each)).cause
            for each in (local, utc, other)
        ]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert causes == [Cause.PROXY_ENDED, Cause.PROXY_ENDED, Cause.SERVER_ENDED]


def test_the_doctor_s_own_disconnect_is_known_by_its_place_in_a_log_without_times(
    tmp_path: Path,
) -> None:
    file = tmp_path / "uvicorn.log"
    earlier = "INFO stream_deadline.asgi: POST /chat after 1.00 s: the client disconnected"
    causes = []
    for size in (0, 10_000):
        file.write_text(f"{earlier}\n", encoding="utf-8")
        lines = lines_of([file], sizes={file: size})
        causes.append(consider(diagnosis(Cause.HEALTHY), lines, since=NOW, until=NOW).cause)
    assert causes == [Cause.HEALTHY, Cause.CLIENT_ENDED]


def test_a_line_without_a_time_supports_a_cause_and_does_not_change_it(tmp_path: Path) -> None:
    supported = after(Cause.SERVER_ENDED, tmp_path, UNDATED_ERROR)
    assert supported.cause is Cause.SERVER_ENDED
    assert 0.7 < supported.confidence < 0.8
    assert "without a time" in supported.evidence[-1]
    other = after(Cause.SERVER_ENDED, tmp_path, UNDATED_PIPE)
    assert (other.cause, other.confidence) == (Cause.SERVER_ENDED, 0.7)
    assert "without a time" in other.evidence[-1]
    alone = after(Cause.HEALTHY, tmp_path, UNDATED_PIPE)
    dated = after(Cause.HEALTHY, tmp_path, f"2026-11-21 13:00:00 {UNDATED_PIPE}")
    assert alone.cause is dated.cause is Cause.CLIENT_ENDED
    assert alone.confidence < dated.confidence


@pytest.mark.parametrize(
    ("seen", "lines", "flowed", "cause", "word"),
    [
        (Cause.SERVER_ENDED, [SYNC, KILLED], None, Cause.TOTAL_CUT, "gthread"),
        (Cause.TOTAL_CUT, [SYNC, KILLED], True, Cause.TOTAL_CUT, "--timeout"),
        (Cause.HEALTHY, [SYNC, KILLED], None, Cause.TOTAL_CUT, "gthread"),
        (Cause.SERVER_ENDED, [LOOP, KILLED], None, Cause.LOOP_BLOCKED, "to_thread"),
        (Cause.IDLE_CUT, [LOOP, KILLED], False, Cause.LOOP_BLOCKED, "to_thread"),
        (Cause.SERVER_ENDED, [KILLED], True, Cause.TOTAL_CUT, "Otherwise"),
        (Cause.SERVER_ENDED, [KILLED], False, Cause.LOOP_BLOCKED, "Otherwise"),
        (Cause.HEALTHY, [KILLED], None, Cause.LOOP_BLOCKED, "Otherwise"),
    ],
)
def test_a_killed_worker_is_a_limit_or_a_blocked_loop_by_its_class(
    seen: Cause,
    lines: list[str],
    flowed: bool | None,
    cause: Cause,
    word: str,
    tmp_path: Path,
) -> None:
    found = after(seen, tmp_path, *lines, flowed=flowed)
    assert found.cause is cause
    assert word in found.next
    sure = found.confidence >= 0.9
    assert sure == (lines[0] is not KILLED and seen is not Cause.HEALTHY)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (OWN_RESET, Cause.SERVER_ENDED),
        (OWN_504, Cause.SERVER_ENDED),
        (UPSTREAM, Cause.PROXY_ENDED),
        ("2026-11-21 13:00:00 ERROR app: ConnectionResetError(104)", Cause.HEALTHY),
    ],
)
def test_an_end_in_the_past_is_that_of_the_party_in_the_line(
    line: str, cause: Cause, tmp_path: Path
) -> None:
    assert after(Cause.HEALTHY, tmp_path, line).cause is cause


@pytest.mark.parametrize(
    "line",
    [OWN_RESET, KILLED.replace("WORKER TIMEOUT (", "Worker (").replace(")", ") was sent SIGKILL!")],
)
def test_the_server_s_own_line_leaves_a_cut_with_the_server(line: str, tmp_path: Path) -> None:
    found = after(Cause.SERVER_ENDED, tmp_path, line)
    assert (found.cause, found.confidence) == (Cause.SERVER_ENDED, 0.8)
    assert found.next != "Look."


def test_a_limit_that_the_proxy_s_log_names_is_what_to_raise(tmp_path: Path) -> None:
    assert "proxy_read_timeout" in after(Cause.SERVER_ENDED, tmp_path, UPSTREAM).next
    assert "proxy_read_timeout" in after(Cause.IDLE_CUT, tmp_path, UPSTREAM).next


def test_a_log_may_hold_anything(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"\xff\xfe\x00WORKER TIMEOUT \x1b[31m\n" * 3)
    found = lines_of([file])
    assert len(found) == 3
    assert "\x1b" not in found[0].text
