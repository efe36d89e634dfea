"""What `@deadline(…)` makes of a function, and of what the function returns.

A deadline holds while a function runs. What is awaited or pulled later would be outside of it.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import FunctionType, WrapperDescriptorType
from typing import Any


def is_declared(function: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Return whether a function is declared as one of some kinds.

    Args:
        function: a function, an object that can be called, or a partial of one of them.
        kinds: functions of `inspect`.
    """
    inner = _inner(function)
    called = inner if inspect.isroutine(inner) or isinstance(inner, type) else type(inner).__call__
    return any(is_kind(each) for is_kind in kinds for each in (inner, called))


def name_of(function: Any) -> str:
    """Return a function's name, or the class's of an object without one."""
    inner = _inner(function)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _inner(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def no_stream(what: str) -> TypeError:
    """Return the error for a stream; `what` names the function, and says what it is."""
    return TypeError(
        f"{what}: its items may be pulled in other tasks, where the deadline is not set. Bound its "
        "stream with `bounded` or `bounded_sync`."
    )


def bound_result(
    result: Any, again: Callable[[], AbstractAsyncContextManager[Any]], name: str
) -> Any:
    """Return the result of a function; what is to be awaited is bounded too.

    Args:
        result: of a function that is not declared with `async def`.
        again: makes a block of the function's deadline, for the time after the call.
        name: of the function.

    Raises:
        TypeError: it is a stream that reads its source later.
    """
    from stream_deadline._bounded import BoundedStream  # it imports the module of `deadline`

    if asyncio.isfuture(result):
        return result  # its work has begun already, inside the deadline
    if inspect.isawaitable(result):
        awaited: Any = _await(_Held(result), again, name)
        awaited.__qualname__ = name  # Python says so if it is never awaited
        return awaited
    if inspect.isgenerator(result):
        result.close()
        raise no_stream(f"{name} returns a stream")
    if _is_async_iterator(result) and not isinstance(result, BoundedStream):
        # It cannot be closed here. One that has not begun holds nothing, and the event loop closes
        # a generator that has.
        raise no_stream(f"{name} returns a stream")
    return result


async def bound_answer(answer: Any, name: str) -> Any:
    """Return what a coroutine has returned.

    An asynchronous iterator that is no generator may be an SDK's stream, whose request was sent
    inside the deadline.

    Raises:
        TypeError: it is a generator; it is closed.
    """
    if inspect.isgenerator(answer):
        answer.close()
    elif inspect.isasyncgen(answer):
        await answer.aclose()
    else:
        return answer
    raise no_stream(f"{name} returns a stream")


class _Held:
    """Keeps what is to be awaited, and closes a coroutine that never was.

    Python warns of the coroutine around it then. A task that is cancelled before it begins is no
    reason to warn.
    """

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable

    def __del__(self) -> None:
        if inspect.iscoroutine(self.awaitable):
            self.awaitable.close()


async def _await(
    held: _Held, again: Callable[[], AbstractAsyncContextManager[Any]], name: str
) -> Any:
    async with again():
        return await bound_answer(await held.awaitable, name)


def _is_async_iterator(result: Any) -> bool:
    # Not `AsyncIterator`: a mock has a stand-in for each method, and passes for one.
    method = inspect.getattr_static(type(result), "__anext__", None)
    return isinstance(method, FunctionType | WrapperDescriptorType)
