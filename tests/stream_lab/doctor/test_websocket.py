"""A WebSocket is examined as a stream of messages, with the same causes."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from fastapi import FastAPI, WebSocket

from stream_lab.doctor import Cause, Target, examine, probe
from stream_lab.doctor.logs import consider, lines_of
from stream_lab.doctor.websocket import talk
from stream_lab.http.capture import End
from stream_lab.processes import Nginx, serve
from tests.conftest import needs
from tests.stream_lab.doctor.hostile import behaviour, frame, serving, websocket

app = FastAPI()
PAUSE = 0.02


@app.websocket("/{kind}")
async def answer(socket: WebSocket, kind: str) -> None:
    if kind == "refuses":
        await socket.close()
        return
    await socket.accept()
    question = await socket.receive_text()
    for number in range(20):
        await socket.send_json({"type": "token", "text": f"{question} {number}"})
        await asyncio.sleep(PAUSE)
        if number == 9 and kind == "raises":
            raise KeyError("the fault")
        if number == 9 and kind == "busy":
            await socket.close(1013, "try later")
            return
    if kind in ("marks_its_end", "stays_open"):
        if kind == "marks_its_end":
            await socket.send_json({"type": "done"})
        await asyncio.sleep(60)
    await socket.close()


UPGRADED = (
    "proxy_read_timeout 1s;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Connection upgrade;",
)


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    with serve(app) as running:
        yield running.url.replace("http", "ws")


@pytest.mark.parametrize(
    ("kind", "cause", "words"),
    [
        ("closes", Cause.HEALTHY, "20 tokens"),
        ("marks_its_end", Cause.HEALTHY, "20 tokens"),
        ("stays_open", Cause.NEVER_ENDS, "may stay open between answers"),
        ("raises", Cause.SERVER_ENDED, "after 10 tokens"),
        ("busy", Cause.SERVER_ENDED, "1013, the server is busy: try later"),
        ("refuses", Cause.HTTP_ERROR, "Status 403"),
    ],
)
def test_a_websocket_has_the_same_causes(root: str, kind: str, cause: Cause, words: str) -> None:
    found = examine(Target.of(f"{root}/{kind}", post="Why?"), watch=2.0).diagnosis
    assert found.cause is cause
    assert words in " ".join(found.evidence)


@needs("nginx")
def test_a_proxy_that_closes_a_silent_websocket_has_an_idle_limit(
    root: str, tmp_path: Path
) -> None:
    with Nginx(root.replace("ws", "http"), *UPGRADED) as nginx:
        target = Target.of(f"{nginx.url.replace('http', 'ws')}/stays_open", post="Why?")
        began = datetime.now()
        found = examine(target, direct=Target.of(f"{root}/stays_open", post="Why?"), watch=2.5)
        log = tmp_path / "error.log"
        log.write_text(nginx.log, encoding="utf-8")
    assert (found.diagnosis.cause, found.diagnosis.layer) == (Cause.IDLE_CUT, "proxied")
    seen = consider(
        found.diagnosis, lines_of([log]), since=began, until=datetime.now(), targets=[target]
    )
    assert "silent WebSocket" in seen.evidence[-1]


def test_a_server_without_websockets_is_an_http_error_that_says_what_to_use(root: str) -> None:
    found = examine(Target.of(f"{root}/nowhere/at/all")).diagnosis
    assert found.cause is Cause.HTTP_ERROR
    refused = examine(Target.of("ws://127.0.0.1:9/x")).diagnosis
    assert refused.cause is Cause.UNREACHABLE


def test_a_part_of_a_message_is_not_lost_to_a_pong_between_its_parts() -> None:
    parts = b"\x01\x02ab" + frame(b"", 10) + b"\x80\x02cd"
    with serving({"x": behaviour(websocket(parts + frame(b"\x03\xe8", 8)))}) as root:
        heard = probe.listen(Target.of(root.replace("http", "ws") + "/x/v1"), 5.0)
    assert [data for _, data in heard.pieces] == [b": ping\n\n", b"data: abcd\n\n"]


def test_the_watch_is_over_between_the_messages_of_one_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: 0.1 * next(ticks), sleep=lambda _: None)
    monkeypatch.setattr("stream_lab.doctor.websocket.time", clock)
    with serving({"x": behaviour(websocket(frame(b"hi") * 1000))}) as root:
        heard = probe.listen(Target.of(root.replace("http", "ws") + "/x/v1"), 5.0)
    assert heard.ending is End.WATCHED
    assert 0 < len(heard.pieces) < 60


class Flood:
    """A connection to a server that sends many pings, and then ends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.left = 0.0
        self._coming = b""

    def settimeout(self, left: float) -> None:
        self.left = left

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, most: int) -> bytes:
        if len(self.sent) == 2:  # the request, of which the last byte comes alone
            self._coming = b"".join(websocket(frame(b"", 9) * 1000)(b"".join(self.sent)))
            self.sent.append(b"")
        data, self._coming = self._coming[:most], self._coming[most:]
        return data


def test_the_answers_to_the_pings_of_one_read_share_the_time_that_is_left() -> None:
    connection = Flood()
    heard = probe.Transcript(target=Target("ws://127.0.0.1:9/x", "GET"))
    talk(cast("socket.socket", connection), heard, 5.0, None, 0.0)
    assert len(heard.pieces) == 1000
    assert len(connection.sent) == 4
    assert 0 < connection.left < 5
