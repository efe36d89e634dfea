"""A way between a client and its server that can be interrupted."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

RESET = struct.pack("ii", 1, 0)


class Link:
    """A TCP proxy in a thread, whose directions can each be stopped.

    A stopped direction passes neither bytes nor the end of a connection, as when every packet is
    lost. Both sides keep their sockets.

    Attributes:
        port: on which it listens.
    """

    def __init__(self, upstream: int) -> None:
        """Start; `upstream` is a port of this machine."""
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._call(self._listen())

    def stop(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Let nothing pass any more."""
        self._call(self._set(stop_to_server=to_server, stop_to_client=to_client))

    def resume(self) -> None:
        """Let everything pass again, also what has waited."""
        self._call(self._set())

    def reset(self) -> None:
        """Reset all connections on both sides."""
        self._call(self._reset())

    async def _set(self, *, stop_to_server: bool = False, stop_to_client: bool = False) -> None:
        for event, stopped in (
            (self._to_server, stop_to_server),
            (self._to_client, stop_to_client),
        ):
            (event.clear if stopped else event.set)()

    async def _reset(self) -> None:
        for writer in self._writers:
            # asyncio's stand-in for a socket has `setsockopt` too.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _listen(self) -> None:
        self._to_server, self._to_client = asyncio.Event(), asyncio.Event()
        await self._set()
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        both = {writer, inner_writer}
        self._writers |= both
        # asyncio would log a handler that was cancelled.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._pump(reader, inner_writer, self._to_server),
                self._pump(inner_reader, writer, self._to_client),
            )
        self._writers -= both

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, passes: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await passes.wait()
                target.write(data)
                await target.drain()
        await passes.wait()
        target.close()

    def _call(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def close(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def never_connects() -> Iterator[int]:
    """Give a port whose full queue makes the kernel drop each SYN."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for each in waiting:
                each.close()
