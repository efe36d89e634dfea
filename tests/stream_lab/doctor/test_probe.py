"""The connection of a probe has one bound, however many addresses a name has."""

import socket
import threading
import time
from typing import Any

import pytest

from stream_lab.doctor import probe
from stream_lab.doctor.target import Target
from stream_lab.http.capture import End
from tests.stream_lab.doctor.hostile import behaviour, serving, whole

DEAD = "127.0.0.2"
WITHIN = 0.5  # seconds for a connection


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let each name have four dead addresses before its own; collect the waits for these."""
    look_up, connect = socket.getaddrinfo, socket.socket.connect
    waited: list[float] = []

    def found(host: str, port: int, *args: int) -> list[tuple[Any, ...]]:
        [own, *_] = look_up(host, port, *args)
        return [(*own[:4], (DEAD, port))] * 4 + [own]

    def to(self: socket.socket, place: tuple[str, int]) -> None:
        if place[0] != DEAD:
            connect(self, place)
            return
        waited.append(self.gettimeout() or 0.0)
        time.sleep(waited[-1])
        raise TimeoutError("timed out")

    monkeypatch.setattr(probe, "CONNECT_WITHIN", WITHIN)
    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(socket.socket, "connect", to)
    return waited


def test_all_addresses_of_a_name_share_one_bound_and_the_last_has_its_part(
    waits: list[float],
) -> None:
    with serving({"x": behaviour(models=whole(b"{}"))}) as root:
        heard = probe.listen(Target.of(f"{root}/x/models"), 5.0)
    assert heard.status == 200
    assert len(waits) == 4
    assert 0 < sum(waits) < WITHIN


def test_a_name_that_is_never_found_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    found = threading.Event()
    monkeypatch.setattr(probe, "CONNECT_WITHIN", WITHIN)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found.wait(10.0) and [])
    try:
        heard = probe.listen(Target.of("http://h/x"), 5.0)
    finally:
        found.set()
    assert (heard.ending, heard.error) == (
        End.NO_CONNECTION,
        "the name was not found in 0.5 s",
    )
