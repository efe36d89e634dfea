"""A scripted server for the APIs that the fake does not speak.

It needs only Python itself, so that it starts fast. It prints its address, serves until its
standard input closes, and takes the fake's own commands: `PUT /scenario`, `GET /ledger` and
`DELETE /ledger`. The path of a request selects its dialect.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

GAP = 0.02  # seconds between two tokens
COMMENT = b": keep-alive\n\n"


def named(kind: str, **data: Any) -> bytes:
    """Return an event whose name stands in its data too."""
    return f"event: {kind}\n".encode() + unnamed(type=kind, **data)


def unnamed(**data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


@dataclass(frozen=True)
class Dialect:
    """The events of an API.

    Attributes:
        opening: the events before the first token.
        token: the event of a token.
        closing: the events after the last one.
    """

    opening: bytes
    token: bytes
    closing: bytes


def _anthropic() -> Dialect:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return Dialect(
        named("message_start", message=message)
        + named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        named("content_block_delta", index=0, delta={"type": "text_delta", "text": "and "}),
        named("content_block_stop", index=0)
        + named("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
        + named("message_stop"),
    )


def _cohere() -> Dialect:
    def content(text: str) -> dict[str, Any]:
        return {"message": {"content": {"type": "text", "text": text}}}

    return Dialect(
        named("message-start", id="m", delta={"message": {"role": "assistant"}})
        + named("content-start", index=0, delta=content("")),
        named("content-delta", index=0, delta=content("and ")),
        named("content-end", index=0) + named("message-end", delta={"finish_reason": "COMPLETE"}),
    )


def _google() -> Dialect:
    def answer(**more: str) -> bytes:
        content = {"role": "model", "parts": [{"text": "and "}]}
        return unnamed(candidates=[{"index": 0, "content": content, **more}])

    return Dialect(b"", answer(), answer(finishReason="STOP"))


DIALECTS = {
    "/v1/messages": _anthropic(),
    "/v2/chat": _cohere(),
    ":streamGenerateContent": _google(),
}


@dataclass
class Babbler:
    """What the server plays, and what it remembers of each request."""

    scenario: str = "endless"
    ledger: list[dict[str, Any]] = field(default_factory=list)

    def control(self, method: str, path: str, body: bytes) -> Any:
        """Obey a command of the laboratory, and return the answer."""
        if path == "/scenario":
            self.scenario = body.decode()
        elif method == "DELETE":
            self.ledger.clear()
        return {"requests": self.ledger}

    async def events(self, dialect: Dialect) -> AsyncIterator[bytes]:
        """Yield what the scenario says; an empty piece is only a moment."""
        name, _, options = self.scenario.partition(":")
        number = int(options.partition("=")[2] or 0)
        yield dialect.opening
        sent = 0
        while name == "endless" or sent < number:
            await asyncio.sleep(GAP)
            yield dialect.token
            sent += 1
        while name != "finite":
            await asyncio.sleep(0.1)
            yield COMMENT if name == "keep_alive" else b""
        yield dialect.closing


class Connection:
    """One connection, over which requests come one after the other."""

    def __init__(
        self, owner: Babbler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._owner, self._reader, self._writer = owner, reader, writer

    async def serve(self) -> None:
        """Answer requests until the client leaves."""
        with suppress(OSError, EOFError, ValueError):
            while True:
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                length = next(
                    (
                        int(line.partition(":")[2])
                        for line in head.splitlines()
                        if line.lower().startswith("content-length:")
                    ),
                    0,
                )
                body = await self._reader.readexactly(length)
                if not await self._answer(method, path.partition("?")[0], body):
                    break
        self._writer.close()

    async def _answer(self, method: str, path: str, body: bytes) -> bool:
        """Answer a request; return whether another one may follow."""
        dialect = next((each for end, each in DIALECTS.items() if path.endswith(end)), None)
        if dialect is None:
            said = json.dumps(self._owner.control(method, path, body)).encode()
            self._writer.write(_head("application/json") + _chunk(said) + _chunk(b""))
            await self._writer.drain()
            return True
        entry: dict[str, Any] = {"path": path, "slot_freed": None, "over": None}
        self._owner.ledger.append(entry)
        telling = asyncio.create_task(self._tell(dialect))
        # A client sends nothing before its answer has ended, so this ends when the client leaves.
        leaving = asyncio.create_task(self._reader.read(1))
        await asyncio.wait([telling, leaving], return_when=asyncio.FIRST_COMPLETED)
        entry["slot_freed"] = entry["over"] = monotonic()
        finished = telling.done() and telling.exception() is None
        for task in (telling, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
        return finished

    async def _tell(self, dialect: Dialect) -> None:
        if self._owner.scenario.startswith("no_headers"):
            await asyncio.Event().wait()
        self._writer.write(_head("text/event-stream"))
        async for piece in self._owner.events(dialect):
            if piece:
                self._writer.write(_chunk(piece))
                await self._writer.drain()
        self._writer.write(_chunk(b""))
        await self._writer.drain()


def _head(kind: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def main() -> None:
    """Serve on a free port of this machine until standard input closes."""
    owner = Babbler()
    server = await asyncio.start_server(
        lambda reader, writer: Connection(owner, reader, writer).serve(), "127.0.0.1", 0
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    closed = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(closed), sys.stdin
    )
    await closed.read()


if __name__ == "__main__":
    with suppress(asyncio.CancelledError):
        asyncio.run(main())
