"""Group the calls of one request, so that they can be ended together."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token, copy_context
from typing import Self

_log = logging.getLogger("stream_deadline")
_current: "ContextVar[CallGroup | None]" = ContextVar("stream_deadline_call_group", default=None)


class CallGroup:
    """The calls inside a `with` block, in every task or thread that context variables reach.

    A call of an inner group belongs to the outer one as well.
    """

    __slots__ = ("_ended", "_ends", "_outer", "_token")

    def __init__(self) -> None:
        self._ends: set[Callable[[], None]] = set()
        self._outer: CallGroup | None = None
        self._ended = False

    def __enter__(self) -> Self:
        self._outer = _current.get()
        self._token: Token[CallGroup | None] = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)

    def add(self, end: Callable[[], None]) -> None:
        """Add a call that begins.

        Args:
            end: ends the call, from any thread and without waiting. It is called at once if the
                group has been ended already.
        """
        self._ends.add(end)
        if self._outer is not None:
            self._outer.add(end)
        if self._ended:
            end()

    def discard(self, end: Callable[[], None]) -> None:
        """Remove a call that is over."""
        self._ends.discard(end)
        if self._outer is not None:
            self._outer.discard(end)

    def end(self) -> None:
        """End all calls of this group, and those that are still to come."""
        self._ended = True
        for end in tuple(self._ends):
            try:
                end()
            except Exception:  # one that fails must not keep the others open
                _log.exception("A call could not be ended.")

    def context(self) -> Context:
        """Copy the current context variables, with this group inside the current one."""
        self._outer = _current.get()
        context = copy_context()
        context.run(_current.set, self)
        return context

    @property
    def has_calls(self) -> bool:
        """Whether a call is under way."""
        return bool(self._ends)


@contextmanager
def no_group() -> Iterator[None]:
    """Let the calls inside a `with` block belong to no group."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def current_group() -> CallGroup | None:
    """Return the group of a call that begins now; None: it belongs to none."""
    return _current.get()
