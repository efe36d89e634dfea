"""What logs add to a diagnosis: lines as the programs write them, and their effect."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from stream_lab.doctor import Cause, Diagnosis
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


def after(cause: Cause, tmp_path: Path, *lines: str, minutes: float = 0) -> Diagnosis:
    file = tmp_path / "error.log"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    began = NOW + timedelta(minutes=minutes) - timedelta(seconds=5)
    return consider(
        diagnosis(cause), lines_of([file]), since=began, until=began + timedelta(seconds=6)
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


def test_a_log_may_hold_anything(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"\xff\xfe\x00WORKER TIMEOUT \x1b[31m\n" * 3)
    found = lines_of([file])
    assert len(found) == 3
    assert "\x1b" not in found[0].text
