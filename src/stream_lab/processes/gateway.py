"""A stand-in for load balancers and platforms: a TCP proxy with the two limits they have. It says so wherever it is shown.

Real ones cannot run here. What they have in common is all this does: bytes pass as they come, and the connection ends when
nothing has passed for so long (an idle limit, as of ALB or an API gateway), or when so much time has passed in all (as of serverless
platforms).
"""

import asyncio
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Gateway:
    """A TCP proxy. `url`: where it is. `cut`: how many connections it has ended because of a limit."""

    def __init__(
        self,
        upstream: str,
        *,
        idle: float | None = None,
        longest: float | None = None,
        largest: int | None = None,
    ) -> None:
        """Start it, in a thread of this process.

        `upstream`: the server behind it. `idle`: seconds without a byte in either direction after which it ends a connection; None: no
        limit. `longest`: seconds that a connection may last; None: no limit. `largest`: bytes of an answer after which it ends the
        connection, as a gateway with a fault does; None: no limit.
        """
        self.cut = 0
        self._idle, self._longest, self._largest = idle, longest, largest
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Stop it; connections end."""
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
                target.write(data)
                await target.drain()
                passed += len(data)
                if source is up_reader and self._largest is not None and passed >= self._largest:
                    self.cut += 1
                    return

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
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in (writer, up_writer):
                each.close()
