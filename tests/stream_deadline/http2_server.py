"""A server of HTTP/2 that babbles, and notes how each of its streams ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, RequestReceived, StreamReset

GAP = 0.02


class Http2Server:
    """Babbles on /endless, stalls on /stall, is silent on /no_headers, and answers elsewhere.

    Attributes:
        ends: how the stream of each path ended: "whole", "reset", or "connection" with its
            connection.
        connections: how many have been opened.
    """

    def __init__(self) -> None:
        self.ends: dict[str, str] = {}
        self._news = asyncio.Condition()
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        http = H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        writer.write(http.data_to_send())
        streams: dict[int, tuple[str, asyncio.Task[None]]] = {}
        try:
            while data := await reader.read(65536):
                for event in http.receive_data(data):
                    if isinstance(event, RequestReceived):
                        number, path = event.stream_id, dict(event.headers)[b":path"].decode()
                        task = asyncio.create_task(self._answer(http, writer, number, path))
                        streams[number] = path, task
                    elif isinstance(event, StreamReset):
                        path, task = streams.pop(event.stream_id)
                        await self._end(path, "reset")
                        task.cancel()
                    elif isinstance(event, ConnectionTerminated):
                        return
                writer.write(http.data_to_send())
        finally:
            for path, task in streams.values():
                await self._end(path, "connection")
                task.cancel()
            writer.close()

    async def _answer(self, http: Any, writer: Any, number: int, path: str) -> None:
        if path == "/no_headers":
            await asyncio.sleep(60)
        http.send_headers(number, [(":status", "200"), ("content-type", "text/event-stream")])
        count = 10_000 if path in ("/endless", "/stall") else 10
        for item in range(count):
            http.send_data(number, b"data: x\n\n")
            writer.write(http.data_to_send())
            await asyncio.sleep(60 if path == "/stall" and item == 3 else GAP)
        await self._end(path, "whole")
        http.end_stream(number)
        writer.write(http.data_to_send())

    async def _end(self, path: str, how: str) -> None:
        async with self._news:
            self.ends.setdefault(path, how)
            self._news.notify_all()

    async def ended(self, path: str) -> str:
        """Wait for the end of a stream, and return how it ended."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: path in self.ends)
        return self.ends[path]


@asynccontextmanager
async def http2_server() -> AsyncIterator[Http2Server]:
    """Serve HTTP/2 without TLS on a free port, in the running event loop."""
    ours = Http2Server()
    server = await asyncio.start_server(ours.serve, "127.0.0.1", 0)
    ours.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield ours
    finally:
        server.close()
