"""The matrix as a tool: it tells a class that holds from one that does not. What it says of `ChatVllm` is in tests/stream_deadline."""

import os
import ssl
import sys
import threading

import pytest

from stream_deadline import ChatVllm
from stream_lab.matrix import Cell, cells, picture, side_by_side
from stream_lab.matrix.certificates import VARIABLE, one_certificate
from stream_lab.story import ClockedChatVllm, ElapsedChatVllm

NAMES = ["endless × chain.astream", "keep-alive comments × astream", "no headers × stream", "suspended"]


def chosen() -> list[Cell]:
    return [cell for cell in cells() if cell.name in NAMES]


def test_classes_are_played_side_by_side_and_told_apart() -> None:
    hook = sys.unraisablehook
    played = side_by_side([ElapsedChatVllm, ClockedChatVllm, ChatVllm], chosen(), deadline=0.6, lateness=0.5)
    assert [result.cell for result in played["ChatVllm"]] == chosen()
    held = {name: [result.cell.name for result in results if result.holds] for name, results in played.items()}
    assert held == {"ElapsedChatVllm": NAMES[:1], "ClockedChatVllm": NAMES[:2], "ChatVllm": NAMES}
    assert sys.unraisablehook is hook
    assert "ClockedChatVllm: 2 of 4 cells hold" in picture.heat_map(played, title="Told apart").alt


@pytest.mark.parametrize("before", [None, "/nowhere/all.pem"])
def test_one_certificate_is_trusted_for_as_long_as_a_block_lasts(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks overlap in any order, and the environment is put back by the last."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if not ssl.create_default_context().get_ca_certs():
        pytest.skip("this machine looks its certificates up when they are needed")
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_certificate():
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=other)
    with one_certificate():
        thread.start()
        entered.wait(5)
    assert len(ssl.create_default_context(cafile=os.environ[VARIABLE]).get_ca_certs()) == 1
    leave.set()
    thread.join()
    assert os.environ.get(VARIABLE) == before
