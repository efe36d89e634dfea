"""Threads that work while a `with` block runs, or until a call's time is over."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


def in_time(work: Callable[[], T], within: float) -> T:
    """Return what a call returns, or raise what it raises, if it ends in time.

    The call runs in a thread, since no time-out reaches into the look-up of a name, for instance. A
    call that is late goes on there, and ends with the process at the latest.

    Args:
        work: the call.
        within: seconds.

    Raises:
        TimeoutError: the call has not ended in time.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="in time", daemon=True).start()
    return result.result(within)


class Background(ABC):
    """A thread that begins with a `with` block, and is ended and awaited with it.

    A subclass says in `_run` what it does; that returns soon after `_over` is set.
    """

    def __init__(self, name: str) -> None:
        """Prepare the thread; entering the block starts it.

        Args:
            name: The name of the thread.
        """
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @abstractmethod
    def _run(self) -> None:
        """Work until `_over` is set."""
