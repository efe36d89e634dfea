"""How the cells of a matrix are judged on a busy machine."""

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_lab.matrix import Cell, Result, cells
from tests.stream_deadline import played as module
from tests.stream_deadline.played import FEW, JOBS, played

BUSY = "The machine stood still for 0.8 s."
SOME = list(cells())[: FEW + 1]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[Cell, Result], list[Any]]]:
    def play(
        chosen: list[Cell], *tries: tuple[str, Callable[[Cell], bool]]
    ) -> tuple[dict[Cell, Result], list[Any]]:
        """Return the results, and how many cells were played at once in each try.

        Each try says how busy the machine is, and which cells hold.
        """
        at_once: list[Any] = []
        left = iter(tries)
        now = next(left)

        class Sleep:
            def __enter__(self) -> SimpleNamespace:
                return SimpleNamespace(busy=now[0])

            def __exit__(self, *_: object) -> None:
                nonlocal now
                now = next(left, now)

        def results(_: Any, some: Iterable[Cell], *, jobs: int, **__: Any) -> Iterator[Result]:
            some = list(some)
            at_once.append((len(some), jobs))
            return iter([Result(cell, "" if now[1](cell) else "late") for cell in some])

        monkeypatch.setattr(module, "PlainSleep", Sleep)
        monkeypatch.setattr(module, "play", results)
        items = [
            SimpleNamespace(path="here", callspec=SimpleNamespace(params={"cell": cell}))
            for cell in chosen
        ]
        request: Any = SimpleNamespace(path="here", session=SimpleNamespace(items=items))
        return dict(played(request, SimpleNamespace)), at_once

    return play


def none(_: Cell) -> bool:
    return False


def every(_: Cell) -> bool:
    return True


def test_a_failure_on_a_calm_machine_is_not_played_again(play: Any) -> None:
    results, tries = play(SOME[:3], ("", none))
    assert tries == [(3, JOBS)]
    assert {each.why for each in results.values()} == {"late"}


def test_failures_on_a_busy_machine_are_played_again_by_themselves(play: Any) -> None:
    results, tries = play(SOME[:3], (BUSY, lambda cell: cell is SOME[0]), ("", every))
    assert tries == [(3, JOBS), (2, 2)]
    assert all(each.holds for each in results.values())


def test_a_cell_that_never_holds_says_that_the_machine_was_busy(play: Any) -> None:
    results, tries = play(SOME[:3], (BUSY, none))
    assert tries == [(3, JOBS), (3, 2), (3, 2)]
    assert {each.why for each in results.values()} == {f"late. {BUSY}"}


def test_a_failure_once_the_machine_is_calm_is_a_failure(play: Any) -> None:
    results, _ = play(SOME[:3], (BUSY, none), ("", none))
    assert {each.why for each in results.values()} == {"late"}


def test_many_failures_are_not_the_machine_s_fault(play: Any) -> None:
    results, tries = play(SOME, (BUSY, none))
    assert tries == [(FEW + 1, JOBS)]
    assert {each.why for each in results.values()} == {f"late. {BUSY}"}
