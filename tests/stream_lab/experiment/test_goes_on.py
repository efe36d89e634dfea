"""A server that ignores disconnects is named so, not one that others use."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_lab import Endpoint, bundled, observe
from stream_lab.experiment import goes_on, verdict
from stream_lab.experiment.call import Call
from stream_lab.experiment.evidence import FOLDER_VARIABLE
from stream_lab.experiment.story import ScopedChatVllm
from stream_lab.experiment.witness import Sample

ROOT = "http://gpu:8000"


def real() -> Endpoint:
    return cast(Endpoint, SimpleNamespace(is_fake=False, root=ROOT))


def samples(*running: int) -> list[Sample]:
    return [Sample(float(at), count, 0, 0) for at, count in enumerate(running)]


@pytest.mark.parametrize("real_server", [False, True])
def test_a_call_after_one_that_the_server_kept_running_says_so(
    real_server: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(goes_on, "_seen", set())

    async def twice(server: Endpoint) -> list[Call]:
        return [
            await observe(
                ScopedChatVllm(**server.settings, timeout=0.5).astream("hello"),
                deadline=0.5,
                server=server,
            )
            for _ in range(2)
        ]

    with bundled("endless", gap=0.02, on_disconnect="keep") as server:
        if real_server:  # whose requests have no ledger
            server.is_fake = False
        first, second = asyncio.run(twice(server))
    assert (first.server, second.server) == (verdict.Server.RAN_ON, verdict.GOES_ON)


@pytest.mark.parametrize(
    ("running", "known"),
    [
        ((0, 1, 1, 1), True),
        ((1, 2, 2, 2), True),
        ((0, 1, 1, 0), False),  # it stopped
        ((0, 1, 2, 2), False),  # others have come
        ((1, 1, 1, 1), False),  # the call was never seen
        ((), False),
    ],
)
def test_only_one_more_request_that_stays_shows_that_a_server_goes_on(
    running: tuple[int, ...], known: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(goes_on, "_seen", set())
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    goes_on.note(real(), samples(*running), left=1.5)
    assert goes_on.is_known(real()) is known
    assert (tmp_path / goes_on.FILE).exists() is known, "the runner hands it to other notebooks"


def test_others_on_a_fake_are_not_taken_for_clients_that_have_left() -> None:
    def fake(*entries: dict[str, Any]) -> Endpoint:
        return cast(Endpoint, SimpleNamespace(is_fake=True, root=ROOT, ledger=lambda: [*entries]))

    kept = {"started": 1.0, "slot_freed": None, "client_left": 2.0}
    over = {"started": 1.0, "slot_freed": 3.0, "client_left": None}
    other = {"started": 1.0, "slot_freed": None, "client_left": None}
    assert goes_on.is_known(fake(over, kept))
    assert not goes_on.is_known(fake(over, kept, other))
    assert not goes_on.is_known(fake(over))


def test_a_server_in_the_runners_variable_is_known_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(goes_on, "_seen", set())
    assert not goes_on.is_known(real())
    monkeypatch.setenv(goes_on.VARIABLE, f"http://other:1 {ROOT}")
    assert goes_on.is_known(real())
