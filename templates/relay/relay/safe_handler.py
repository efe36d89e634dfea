"""Callbacks that cannot break a stream: observing an answer must never cut or delay it."""

import logging
import queue
import threading
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import get_buffer_string

WAITING: Final = 10_000
"""The most events that wait for a slow handler; further ones are dropped."""

_log = logging.getLogger(__name__)


class SafeHandler(BaseCallbackHandler):
    """A wrapper that passes each event to a thread, which calls the handler.

    An error of the handler is logged the first time and then only counted; LangChain's
    `raise_error` has no effect. A handler that is slower than the stream gets its events late, and
    loses those that no longer fit. It runs without the context variables of the request.

    Attributes:
        errors: how many calls of the handler have failed.
        dropped: how many events were dropped.

    Raises:
        TypeError: the handler is asynchronous, so its methods would be called but never run.
    """

    run_inline = True  # a queue is faster than LangChain's change of threads

    def __init__(self, handler: BaseCallbackHandler) -> None:
        if isinstance(handler, AsyncCallbackHandler):
            raise TypeError(
                f"{type(handler).__name__} is asynchronous; "
                "a SafeHandler calls handlers from a thread."
            )
        self.errors = 0
        self.dropped = 0
        self._handler = handler
        self._events: queue.Queue[tuple[str, tuple[Any, ...], dict[str, Any]]] = queue.Queue(
            WAITING
        )
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def _put(self, event: str, *args: Any, **kwargs: Any) -> None:
        if self._thread is None:  # not in __init__: a server that forks would lose its thread
            with self._starting:
                if self._thread is None:
                    name = f"callbacks of {type(self._handler).__name__}"
                    self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                    self._thread.start()
        try:
            self._events.put_nowait((event, args, kwargs))
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                _log.error(
                    "%s is too slow; events are dropped from now on", type(self._handler).__name__
                )

    def _run(self) -> None:
        while True:
            event, args, kwargs = self._events.get()
            try:
                self._call(event, args, kwargs)
            except Exception:
                self.errors += 1
                if self.errors == 1:
                    _log.exception(
                        "%s failed in %s; its next errors are only counted",
                        type(self._handler).__name__,
                        event,
                    )

    def _call(self, event: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            getattr(self._handler, event)(*args, **kwargs)
        except NotImplementedError:
            if event != "on_chat_model_start":
                raise
            serialized, messages, *rest = (
                args  # as LangChain does for a handler that knows no chat models
            )
            self._handler.on_llm_start(
                serialized, [get_buffer_string(each) for each in messages], *rest, **kwargs
            )


def _pass_on(event: str) -> Any:
    def put(self: SafeHandler, *args: Any, **kwargs: Any) -> None:
        self._put(event, *args, **kwargs)

    return put


def _ask(name: str) -> Any:
    return property(lambda self: getattr(self._handler, name))


for _name in dir(BaseCallbackHandler):
    if _name.startswith("on_"):
        setattr(SafeHandler, _name, _pass_on(_name))
    elif _name.startswith("ignore_"):  # which kinds of events it does not want
        setattr(SafeHandler, _name, _ask(_name))
