"""Pull a source in its own thread, so that its consumer can stop waiting."""

import contextvars
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_AHEAD = 16
_STOPPED: Any = object()


class ThreadIterator(Iterator[T], Generic[T]):
    """Iterates over a source whose wait nothing can interrupt: boto3, grpc.

    After `stop` the consumer gets no more, at once. The thread ends when the source returns.
    """

    def __init__(
        self, start: Callable[[], Iterable[T]], context: contextvars.Context | None = None
    ) -> None:
        """Prepare.

        Args:
            start: makes the source; called in the thread, with the first pull.
            context: the context variables of the source; None: a copy of the current ones.
        """
        self._start = start
        self._context = context or contextvars.copy_context()
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._thread: threading.Thread | None = None
        self._is_over = False

    def __next__(self) -> T:
        if self._is_over:
            raise StopIteration
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._context.run, args=(self._pull,), name="bounded source", daemon=True
            )
            self._thread.start()
        item, error = self._items.get()
        if item is _STOPPED:
            self._is_over = True
            if error is None:
                raise StopIteration
            raise error
        self._room.release()
        return item  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Wake the consumer, and let the source go. Safe from any thread."""
        self._is_over = True
        self._items.put((_STOPPED, None))
        self._room.release()

    def close(self) -> None:
        """Do the same as `stop`."""
        self.stop()

    def _pull(self) -> None:
        source: Any = None
        try:
            source = iter(self._start())
            for item in source:
                self._room.acquire()
                if self._is_over:
                    return
                self._items.put((item, None))
            self._items.put((_STOPPED, None))
        except BaseException as error:  # the consumer's thread raises it
            self._items.put((_STOPPED, error))
        finally:
            if hasattr(source, "close"):
                source.close()
