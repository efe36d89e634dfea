"""A source that only its own thread can wait for."""

import contextvars
import subprocess
import sys
import threading
import time
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


class Closing(Iterator[int]):
    """A source that notes its thread and its closes."""

    def __init__(self, *items: int | Exception) -> None:
        self._items = list(items)
        self.threads: set[threading.Thread] = set()
        self.closed = threading.Semaphore(0)

    def __next__(self) -> int:
        self.threads.add(threading.current_thread())
        if not self._items:
            raise StopIteration
        item = self._items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed.release()


@pytest.mark.parametrize("error", [None, ValueError("broken")])
def test_its_source_is_closed_at_its_end(error: Exception | None) -> None:
    source = Closing(1, 2) if error is None else Closing(1, 2, error)
    items = ThreadIterator(lambda: source)
    assert [next(items), next(items)] == [1, 2]
    if error is None:
        assert pull(items) == []
    else:
        with pytest.raises(ValueError, match="broken"):
            next(items)
    assert source.closed.acquire(timeout=SOON)
    assert not source.closed.acquire(blocking=False), "once"
    [thread] = source.threads
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_a_source_that_cannot_be_made_is_an_error_of_the_first_pull() -> None:
    def start() -> list[int]:
        raise ValueError("broken")

    items = ThreadIterator(start)
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert pull(items) == []


def test_nothing_is_pulled_before_the_first_pull_nor_after_the_stop() -> None:
    started: list[int] = []
    items = ThreadIterator(lambda: started)
    assert items._thread is None
    items.close()
    assert pull(items) == []
    assert items._thread is None


def test_its_source_waits_for_its_consumer_and_a_stop_lets_it_go() -> None:
    source = Closing(*range(1000))
    items = ThreadIterator(lambda: source)
    assert next(items) == 0
    until = time.monotonic() + SOON
    while len(source._items) > 1000 - 18 and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(source._items) == 1000 - 18, "one taken, sixteen ahead, and one that waits for room"
    assert next(items) == 1
    while len(source._items) > 1000 - 19 and time.monotonic() < until:
        time.sleep(0.001)
    assert len(source._items) == 1000 - 19
    items.stop()
    assert source.closed.acquire(timeout=SOON)
    assert len(source._items) == 1000 - 19
    assert pull(items) == []


def test_a_stop_wakes_a_consumer_that_waits() -> None:
    free = threading.Event()

    def source() -> Iterator[int]:
        free.wait(SOON)
        yield 1

    items = ThreadIterator(source)
    timer = threading.Timer(0.1, items.stop)
    timer.start()
    assert pull(items) == []
    assert not free.is_set()
    free.set()
    timer.join()


def test_its_source_has_the_context_that_it_is_given() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    own = contextvars.copy_context()
    own.run(variable.set, "own")
    token = variable.set("caller's")
    copied = ThreadIterator(lambda: iter([variable.get()]))
    given = ThreadIterator(lambda: iter([variable.get()]), own)
    variable.reset(token)
    assert (next(copied), next(given)) == ("caller's", "own")
