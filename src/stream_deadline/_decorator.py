"""What `@deadline(…)` makes of a function, and of what the function returns.

A deadline holds while a function runs. What is awaited or pulled later would be outside of it.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    _AsyncGeneratorContextManager,
    _GeneratorContextManager,
)
from types import BuiltinFunctionType, FunctionType, MethodType, WrapperDescriptorType
from typing import Any


def is_declared(function: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Return whether a function is declared as one of some kinds.

    Args:
        function: a function, an object that can be called, or a partial of one of them.
        kinds: functions of `inspect`.
    """
    inner = _inner(function)
    is_plain = isinstance(inner, FunctionType | MethodType | BuiltinFunctionType | type)
    called = inner if is_plain else type(inner).__call__
    return any(is_kind(each) for is_kind in kinds for each in (inner, called))


def name_of(function: Any) -> str:
    """Return a function's name, or the class's of an object without one."""
    inner = _inner(function)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _inner(function: Any) -> Any:
    while isinstance(function, functools.partial | staticmethod):
        function = function.func if isinstance(function, functools.partial) else function.__func__
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
    """Return the result of a function; a coroutine is bounded too.

    Args:
        result: of a function that is not declared with `async def`.
        again: makes a block of the function's deadline, for the time after the call.
        name: of the function.

    Raises:
        TypeError: it works later in another way: a stream, a generator's context manager, or
            anything else that is awaited.
    """
    from stream_deadline._bounded import BoundedStream  # it imports the module of `deadline`

    if asyncio.isfuture(result):
        return result  # its work has begun already, inside the deadline
    if _is_coroutine(result):
        awaited: Any = _await(_Held(result), again, name)
        awaited.__qualname__ = name  # Python says so if it is never awaited
        return awaited
    if inspect.isawaitable(result):
        raise TypeError(
            f"{name} returns an object of {type(result).__qualname__}, which is awaited later. "
            "Await it in the function, and declare that with `async def`."
        )
    if isinstance(result, _GeneratorContextManager | _AsyncGeneratorContextManager):
        raise TypeError(
            f"{name} returns a context manager, whose block runs later. Set the deadline in the "
            "block: `with deadline(…):`."
        )
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


def _is_coroutine(result: Any) -> bool:
    if inspect.isgenerator(result):
        return bool(result.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)  # `types.coroutine`
    return isinstance(result, Coroutine)


class _Held:
    """Keeps a coroutine, and closes it if it was never awaited.

    Python warns of the coroutine around it then. A task that is cancelled before it begins is no
    reason to warn.
    """

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine

    def __del__(self) -> None:
        self.coroutine.close()


async def _await(
    held: _Held, again: Callable[[], AbstractAsyncContextManager[Any]], name: str
) -> Any:
    async with again():
        return await bound_answer(await held.coroutine, name)


def _is_async_iterator(result: Any) -> bool:
    # Not `AsyncIterator`: a mock has a stand-in for each method, and passes for one.
    method = inspect.getattr_static(type(result), "__anext__", None)
    return isinstance(method, FunctionType | WrapperDescriptorType)
