"""The calls that are made for one request, so that they can be ended together."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token, copy_context
from typing import Self

_log = logging.getLogger("stream_deadline")
_scope: "ContextVar[Scope | None]" = ContextVar("stream_deadline_scope", default=None)


class Scope:
    """What all calls inside a `with` block belong to, in whatever task or thread that context variables reach.

    Calls of an inner scope belong to the outer one as well.
    """

    __slots__ = ("_ends", "_outer", "_over", "_token")

    def __init__(self) -> None:
        self._ends: set[Callable[[], None]] = set()
        self._outer: Scope | None = None
        self._over = False

    def __enter__(self) -> Self:
        self._outer = _scope.get()
        self._token: Token[Scope | None] = _scope.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _scope.reset(self._token)

    def add(self, end: Callable[[], None]) -> None:
        """A call has begun; `end` ends it, from any thread and without a wait. It is called at once if the scope has been ended."""
        self._ends.add(end)
        if self._outer is not None:
            self._outer.add(end)
        if self._over:
            end()

    def discard(self, end: Callable[[], None]) -> None:
        """The call is over."""
        self._ends.discard(end)
        if self._outer is not None:
            self._outer.discard(end)

    def end(self) -> None:
        """End all calls, and those to come."""
        self._over = True
        for end in tuple(self._ends):
            try:
                end()
            except Exception:  # one that fails does not keep the others from their ends
                _log.exception("A call could not be ended.")

    def context(self) -> Context:
        """A copy of the current context variables in which calls belong to this scope, and to the current one as well."""
        self._outer = _scope.get()
        context = copy_context()
        context.run(_scope.set, self)
        return context

    @property
    def has_calls(self) -> bool:
        return bool(self._ends)


@contextmanager
def outside() -> Iterator[None]:
    """Have the calls inside a `with` block belong to none."""
    token = _scope.set(None)
    try:
        yield
    finally:
        _scope.reset(token)


def current() -> Scope | None:
    """The scope that a call which begins now belongs to; None: it stands alone."""
    return _scope.get()
