"""A source that only its own thread can wait for."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from stream_deadline._in_thread import ThreadIterator

SOON = 8.0  # wide: the question is whether it happens


def pull(items: Iterator[int]) -> list[int]:
    """Pull in a thread: an iterator that waits for ever makes the test red."""
    found: list[list[int]] = []
    thread = threading.Thread(target=lambda: found.append(list(items)), daemon=True)
    thread.start()
    thread.join(SOON)
    assert found, "the iterator waits for ever"
    return found[0]


def test_it_has_the_items_and_the_end_of_its_source() -> None:
    items = ThreadIterator(lambda: range(100))
    assert pull(items) == list(range(100))
    assert pull(items) == []


def test_an_error_of_its_source_comes_once() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    items = ThreadIterator(source)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert pull(items) == []


def test_its_source_is_only_a_few_items_ahead() -> None:
    pulled: list[int] = []
    waits = threading.Event()

    def source() -> Iterator[int]:
        for number in range(1000):
            pulled.append(number)
            if number > 10:
                waits.set()
            yield number

    items = ThreadIterator(source)
    assert next(items) == 0
    assert waits.wait(SOON)
    items.stop()
    assert len(pulled) < 100
    assert pull(items) == []


def test_it_stops_while_its_source_waits() -> None:
    free, closed = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        try:
            yield 1
            free.wait(SOON)
            yield 2
        finally:
            closed.set()

    items = ThreadIterator(source)
    assert next(items) == 1
    items.stop()
    assert pull(items) == []
    free.set()
    assert closed.wait(SOON)


def test_a_program_can_end_while_its_source_waits() -> None:
    program = (
        "import time\n"
        "from stream_deadline._in_thread import ThreadIterator\n"
        "print(next(ThreadIterator(lambda: (time.sleep(600 * n) or n for n in range(2)))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n"
