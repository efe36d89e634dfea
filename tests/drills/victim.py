"""The process that makes a call in a drill.

It says what it does over a connection, and waits there for a word before the call, and before the
next one. Whatever else it writes is noise, of which there must be none.
"""

import asyncio
import gc
import math
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from stream_deadline import StreamDeadlineExceeded
from tests.drills.plants import PLANTS
from tests.drills.styles import CLOCK_STARTS, CLOSE, STYLES
from tests.drills.troubles import TROUBLES

WARM = "finite:tokens=2"
HANDED_OVER = 0.1
SETTLES_WITHIN = 2.0
LONG = 30.0
"""Seconds that the calls before and after the drill's may take."""


class Channel:
    """The connection to the drill."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def say(self, **what: Any) -> None:
        self._connection.send(what)

    def wait(self) -> None:
        """Wait for the drill's word; it may take as long as it likes."""
        self._connection.recv()


class Record:
    """One call: what came, how it ended, and when."""

    def __init__(self, channel: Channel | None, each: Callable[[int], None]) -> None:
        self._channel, self._each = channel, each
        self._came: list[float] = []
        self.error, self.message = "", ""
        self.restart()
        self._due = math.inf
        CLOCK_STARTS.append(self.restart)

    def restart(self) -> None:
        self.started = time.monotonic()

    def piece(self) -> None:
        self._came.append(time.monotonic())
        if len(self._came) == 3 and self._channel is not None:
            self._channel.say(third=True)
        self._each(len(self._came))

    def failed(self, error: BaseException) -> None:
        self.error, self.message = name_of(error), str(error)
        if isinstance(error, StreamDeadlineExceeded):
            # The call's own clock started a little later than this record's. A chain hands over
            # through tasks of its own.
            self._due = time.monotonic() - error.elapsed + error.limit + HANDED_OVER

    def ended(self) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "error": self.error,
            "message": self.message,
            "started": self.started,
            "took": now - self.started,
            "pieces": len(self._came),
            "after": sum(came > self._due for came in self._came),
        }


def name_of(error: BaseException) -> str:
    """Return the first public class of an error, by which callers catch it."""
    for kind in type(error).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in ("openai", "httpx", "httpx2"):
            return f"{package}.{kind.__name__}"
        if package in ("stream_deadline", "builtins", "tests"):
            return kind.__name__
    return type(error).__name__


def left(tasks: int = 0) -> Counter[str]:
    """Count what a call could leave in this process: threads by name, open files, tasks.

    The threads of an event loop's own executor stay as long as the loop.
    """
    names = (each.name for each in threading.enumerate())
    found = Counter(
        f"thread {name}" for name in names if not name.startswith(("asyncio_", "uvloop_"))
    )
    return found + Counter({"open files": len(os.listdir("/proc/self/fd")), "tasks": tasks})


def more(now: Counter[str], before: Counter[str], pooled: int) -> dict[str, int]:
    """Return what there is more of, besides N connections that may have come into pools."""
    return dict(now - before - Counter({"open files": pooled}))


def _tasks() -> int:
    return len(asyncio.all_tasks())


def nothing(pieces: int) -> None: ...


def play_sync(ask: Any, spec: dict[str, Any], channel: Channel, each: Any) -> None:
    def one(scenario: str, limit: float, record: Record) -> dict[str, Any]:
        try:
            for _ in ask(scenario, limit):
                record.piece()
        except BaseException as error:
            record.failed(error)
        return record.ended()

    if spec["pooled"]:
        channel.say(warm=one(WARM, LONG, Record(None, nothing)))
    before = left()
    channel.say(ready=True)
    channel.wait()
    channel.say(ended=one(spec["scenario"], spec["limit"], Record(channel, each)))
    until = time.monotonic() + SETTLES_WITHIN
    while (over := more(left(), before, spec["pools"])) and time.monotonic() < until:
        time.sleep(0.02)
    channel.say(left=over)
    channel.wait()
    channel.say(next=one(WARM, spec["limit"] if spec["hopeless"] else LONG, Record(None, nothing)))


async def play_async(ask: Any, spec: dict[str, Any], channel: Channel, each: Any) -> None:
    async def one(scenario: str, limit: float, record: Record) -> dict[str, Any]:
        try:
            async for _ in ask(scenario, limit):
                record.piece()
        except BaseException as error:
            record.failed(error)
        return record.ended()

    if spec["pooled"]:
        channel.say(warm=await one(WARM, LONG, Record(None, nothing)))
    before = left(_tasks())
    channel.say(ready=True)
    channel.wait()
    channel.say(ended=await one(spec["scenario"], spec["limit"], Record(channel, each)))
    until = time.monotonic() + SETTLES_WITHIN
    # Nothing tells when a file or a thread has gone.
    while (over := more(left(_tasks()), before, spec["pools"])) and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    channel.say(left=over)
    channel.wait()
    channel.say(
        next=await one(WARM, spec["limit"] if spec["hopeless"] else LONG, Record(None, nothing))
    )


def main(spec: dict[str, Any], connection: Connection, output: Connection) -> None:
    """Make the call that a drill asks for.

    Args:
        spec: what is called, and how.
        connection: to the drill.
        output: takes the standard output and error.
    """
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    output.close()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    os.environ["ASLEEP"] = spec["asleep"]
    os.environ["SSL_CERT_FILE"] = spec["certificates"]
    gc.freeze()  # a collection would look at all of LangChain
    warnings.simplefilter("default", ResourceWarning)
    channel = Channel(connection)
    if spec["plant"]:
        PLANTS[spec["plant"]]()
    style = STYLES[spec["style"]]
    ask = style.make(spec["base_url"])
    each = TROUBLES[spec["trouble"]]() if spec["trouble"] else nothing
    if style.is_async:
        asyncio.run(play_async(ask, spec, channel, each))
    else:
        play_sync(ask, spec, channel, each)
    for close in CLOSE:
        close()
    gc.collect()  # what is never retrieved or awaited is reported when it is collected
