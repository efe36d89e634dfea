"""The calls that are made for one request, so that they can be ended together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Self

_scope: "ContextVar[Scope | None]" = ContextVar("stream_deadline_scope", default=None)


class Scope:
    """What all calls inside a `with` block belong to, in whatever task or thread that context variables reach.

    Calls of an inner scope belong to the outer one as well.
    """

    __slots__ = ("_ends", "_outer", "_over", "_token")

    def __init__(self) -> None:
        self._ends: set[Callable[[], None]] = set()
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
            end()


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
