"""The clock that deadlines are measured by, and its jumps."""

import time
from collections.abc import Iterator

import pytest

from stream_deadline import _clock


@pytest.fixture(autouse=True)
def _the_clock_is_put_back() -> Iterator[None]:
    before = _clock.install(time.monotonic)
    yield
    _clock.install(before)


def virtual() -> float:
    return 5.0


def test_the_clock_of_the_machine_is_not_virtual() -> None:
    assert (_clock.monotonic, _clock.is_virtual) == (time.monotonic, False)


def test_a_clock_is_installed_in_the_place_of_the_one_before() -> None:
    assert _clock.install(virtual) is time.monotonic
    assert (_clock.monotonic, _clock.is_virtual) == (virtual, True)
    assert _clock.install(time.monotonic) is virtual
    assert (_clock.monotonic, _clock.is_virtual) == (time.monotonic, False)


def test_a_jump_is_heard_only_by_calls_that_began_on_that_clock() -> None:
    heard: list[str] = []

    def first() -> None:
        heard.append("first")

    def second() -> None:
        heard.append("second")

    _clock.notify_of_jumps(second)
    _clock.install(virtual)
    _clock.notify_of_jumps(first)
    _clock.notify_of_jumps(first)
    _clock.jumped()
    assert heard == ["first"], "the second began on the clock of the machine"
    _clock.install(time.monotonic)
    _clock.jumped()
    assert heard == ["first"]
