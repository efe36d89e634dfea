"""A stand-in for load balancers and platforms: a TCP proxy with their two limits.

Real ones cannot run here. This one does what they have in common: it passes bytes on as they come,
and ends the connection after a silence (an idle limit, as ALB or an API gateway has), or after a
time in all (as serverless platforms have).
"""

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Gateway:
    """A TCP proxy.

    Attributes:
        url: its address.
        cut: how many connections it has ended because of a limit.
    """

    def __init__(
        self,
        upstream: str,
        *,
        idle: float | None = None,
        longest: float | None = None,
        largest: int | None = None,
        delay: float = 0.0,
    ) -> None:
        """Start the proxy in a thread of this process. None: no limit.

        Args:
            upstream: the address of the server behind it.
            idle: seconds without a byte in either direction, after which it ends a connection.
            longest: seconds that a connection may last.
            largest: bytes of an answer after which it ends the connection, as a faulty gateway
                does.
            delay: seconds that bytes, and the end of a connection, take to pass, as on a long way.
        """
        self.cut = 0
        self._idle, self._longest, self._largest = idle, longest, largest
        self._delay = delay
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Stop the proxy and end its connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
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

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.close()
            return
        loop = asyncio.get_running_loop()
        began = last = loop.time()

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            nonlocal last
            passed = 0
            while data := await source.read(65536):
                last = loop.time()
                await asyncio.sleep(self._delay)
                target.write(data)
                await target.drain()
                passed += len(data)
                if source is up_reader and self._largest is not None and passed >= self._largest:
                    self.cut += 1
                    return
            await asyncio.sleep(self._delay)

        async def limits() -> None:
            while True:
                ends = [last + self._idle] if self._idle is not None else []
                ends += [began + self._longest] if self._longest is not None else []
                left = min(ends, default=began + 3600) - loop.time()
                if left <= 0:
                    self.cut += 1
                    return
                await asyncio.sleep(left)

        both = [pass_on(reader, up_writer), pass_on(up_reader, writer), limits()]
        tasks = [asyncio.create_task(each) for each in both]
        try:
            with suppress(asyncio.CancelledError):  # of `close`; Python 3.11 would report it
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in (writer, up_writer):
                each.close()
