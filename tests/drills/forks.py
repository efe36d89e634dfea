"""Processes as forks of one that has done the slow imports already."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from threading import Lock

_FORKS = multiprocessing.get_context("forkserver")
_PRELOADED = """
    fake_vllm.cli fake_vllm.app fake_vllm.http.server tests.drills.victim tests.drills.warmed
    stream_deadline._raw_chunks stream_lab.processes anyio._backends._asyncio
    httpcore httpcore2 httpcore2._async.http2 openai.resources.chat.completions
    openai.lib._chat_completion_resources openai.lib.streaming.chat
    langchain_core.tracers.langchain langchain_core.tracers.stdout langchain_core.tracers.context
    langchain_core.messages.block_translators.langchain_v0
    starlette.applications uvicorn.main uvicorn.loops.uvloop
    uvicorn.protocols.http.httptools_impl uvicorn.protocols.websockets.auto uvloop truststore
"""
_FORKS.set_forkserver_preload(_PRELOADED.split())
_ONE_AT_A_TIME = Lock()
"""A start polls all processes, and a status that two threads read at once is 255 for one of them."""


class Fork:
    """A process that any thread may start and wait for."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        self._process = _FORKS.Process(target=target, args=arguments, daemon=True)
        with _ONE_AT_A_TIME:
            self._process.start()
        self._ends = self._process.sentinel

    def send(self, number: signal.Signals) -> None:
        """Send a signal, and wait for the end if it is SIGKILL."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)
        if number is signal.SIGKILL:
            self.end()

    def end(self, seconds: float | None = None) -> int | None:
        """Return the status once the process has ended; None: it has not within `seconds`."""
        wait([self._ends], seconds)
        with _ONE_AT_A_TIME:
            return self._process.exitcode

    def close(self) -> None:
        """Kill the process if it runs."""
        if self.end(0) is None:
            with suppress(ProcessLookupError):  # its status is on the way
                self.send(signal.SIGKILL)
            self.end()
        self._process.close()


def pipe(*, duplex: bool = True) -> tuple[Connection, Connection]:
    """Return both ends of a pipe that a fork can be given."""
    return _FORKS.Pipe(duplex)
