"""A thread that works while a `with` block runs."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


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
