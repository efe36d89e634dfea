"""Defects to plant in the library, so that each drill can be seen to fail."""

import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def no_shutdown() -> None:
    """Cancel calls without shutting their connections down."""
    from stream_deadline import _connection, _find_connection, _shutdown

    def nothing(*_: Any) -> None: ...

    _put(_shutdown, "shut_down", nothing)
    _put(_connection, "end_stream", nothing)
    _put(_find_connection, "end_stream", nothing)


def no_watchdog() -> None:
    """Let no alarm go off."""
    from stream_deadline import _watchdog

    _put(_watchdog.Alarm, "ring", lambda self: None)


def no_timer() -> None:
    """Let no timer of an event loop end a stream."""
    from stream_deadline import _reader

    _put(_reader.Reader, "_look", lambda self: None)


def no_time_left() -> None:
    """Neither timers nor alarms end a call, and sockets have no time-out."""
    from stream_deadline import _connection

    no_timer()
    no_watchdog()
    _put(_connection, "_shorter", lambda left, given: given)


def no_clock_check() -> None:
    """Let nothing end a call, and hand over what comes after the deadline."""
    from stream_deadline import _budget

    no_time_left()
    _put(_budget.Budget, "is_used_up", lambda self: False)
    _put(_budget.Budget, "was_lifted", lambda self: True)


def retries_at_work() -> None:
    """Send a request again that the server may be working on."""
    from stream_deadline import _retry

    _put(_retry.Retrier, "_may_pass", lambda self, error: True)


def errors_are_ends() -> None:
    """Take a connection that broke for the end of the answer."""
    from stream_deadline import _bounded_sync, _reader

    plain = _reader.Reader._finished

    def finished(self: Any, task: Any) -> None:
        if not self.ended:
            self.ended = True
        plain(self, task)

    _put(_reader.Reader, "_finished", finished)
    iterate = _bounded_sync._iterate

    def quiet(*args: Any, **kwargs: Any) -> Any:
        try:
            yield from iterate(*args, **kwargs)
        except Exception:
            return

    _put(_bounded_sync, "_iterate", quiet)


def ends_are_errors() -> None:
    """Take the end of an answer for half of it."""
    from stream_deadline import _message

    never = property(lambda self: False, lambda self, value: None)
    _put(_message.MessageAccumulator, "whole", never)


def task_left() -> None:
    """Leave a task of the event loop, a thread and an open file."""
    import asyncio
    import os

    from stream_deadline import _bounded_sync, _reader

    began, alarm = _reader.Reader.__init__, _bounded_sync.BoundedIterator.__init__

    def leave() -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        os.dup(2)

    def in_loop(self: Any, *args: Any, **kwargs: Any) -> None:
        began(self, *args, **kwargs)
        self._left = asyncio.get_running_loop().create_task(asyncio.sleep(3600))
        _kept.append(self._left)
        leave()

    def in_thread(self: Any, *args: Any, **kwargs: Any) -> None:
        alarm(self, *args, **kwargs)
        leave()

    _put(_reader.Reader, "__init__", in_loop)
    _put(_bounded_sync.BoundedIterator, "__init__", in_thread)


_kept: list[Any] = []


def wall_clock() -> None:
    """Measure by the wall clock."""
    import time

    from stream_deadline import _clock

    _put(_clock, "monotonic", lambda: time.time())


def forks_share() -> None:
    """Let a fork keep the connections and the watchdog of its parent."""
    import openai

    from stream_deadline import _clients, _network, _watchdog
    from stream_deadline._http_clients import report_to_calls

    same = _watchdog._watchdog
    _put(_watchdog, "_Watchdog", lambda: same)

    def mine(self: Any) -> Any:
        if not self._clients:
            self._clients[0] = openai.DefaultHttpxClient(
                **_clients._arguments(self._settings, "HTTPTransport")
            )
            report_to_calls(self._clients[0])
        return self._clients[0]

    _put(_clients.PerProcessClient, "_mine", mine)
    _put(_clients.PerLoopClient, "forget", lambda self: None)
    _put(
        _network.TrackedStream,
        "get_extra_info",
        lambda self, info: self._inner.get_extra_info(info),
    )


def watchdog_stays() -> None:
    """Let the watchdog's thread run while the interpreter ends, without being a daemon."""
    from stream_deadline import _watchdog

    _put(_watchdog._Watchdog, "close", lambda self: None)
    start = _watchdog._Watchdog._start

    def lasting(self: Any) -> None:
        real = threading.Thread

        def thread(*args: Any, **kwargs: Any) -> threading.Thread:
            return real(*args, **{**kwargs, "daemon": False})

        _put(threading, "Thread", thread)
        try:
            start(self)
        finally:
            _put(threading, "Thread", real)

    _put(_watchdog._Watchdog, "_start", lasting)


def interrupts_are_lost() -> None:
    """Swallow a KeyboardInterrupt inside a call."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def deaf_reader() -> None:
    """Let the task that reads a stream swallow its cancellation."""
    import asyncio

    from stream_deadline import _reader

    read = _reader.Reader._read

    async def deaf(self: Any, items: Any) -> None:
        try:
            await read(self, items)
        except asyncio.CancelledError:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(3600)

    _put(_reader.Reader, "_read", deaf)


def watchdog_fails() -> None:
    """Let a call fail if its alarm needs the watchdog's thread."""
    from stream_deadline import _watchdog

    def fails(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    _put(_watchdog._Watchdog, "_start", fails)


def loops_share() -> None:
    """Let all event loops share one client, whose connections outlive the first."""
    from stream_deadline import _clients

    async def never_closes(client: Any) -> AsyncGenerator[None]:
        yield

    _put(_clients, "_close_in_the_end", never_closes)
    mine = _clients.PerLoopClient._mine

    def same(self: Any) -> Any:
        if not _kept:
            _kept.append(mine(self))
        return _kept[0]

    _put(_clients.PerLoopClient, "_mine", same)


def closing_shuts_down() -> None:
    """Shut the connection down where closing it would do, which other processes see."""
    from stream_deadline import _bounded_sync

    close = _bounded_sync.BoundedIterator.close

    def shuts(self: Any) -> None:
        self._alarm._interrupt(True)
        close(self)

    _put(_bounded_sync.BoundedIterator, "close", shuts)


def abandon_cuts() -> None:
    """Shut the connection of a dropped stream down in whichever process drops it."""
    from stream_deadline import _reader

    _put(_reader.Reader, "abandon", lambda self: self._cut())


def never_closes() -> None:
    """Leave the source of a synchronous stream open."""
    from stream_deadline import _bounded_sync

    began = _bounded_sync.BoundedIterator.__init__

    def begin(self: Any, items: Any, *args: Any, **kwargs: Any) -> None:
        _kept.append(items)
        began(self, items, *args, **kwargs)

    _put(_bounded_sync.BoundedIterator, "__init__", begin)
    _put(_bounded_sync, "_close", lambda stream: None)


PLANTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        no_shutdown,
        no_watchdog,
        no_timer,
        no_time_left,
        no_clock_check,
        retries_at_work,
        errors_are_ends,
        ends_are_errors,
        task_left,
        wall_clock,
        forks_share,
        watchdog_stays,
        interrupts_are_lost,
        deaf_reader,
        watchdog_fails,
        loops_share,
        closing_shuts_down,
        abandon_cuts,
        never_closes,
    )
}
