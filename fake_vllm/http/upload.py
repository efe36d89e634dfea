"""Faults while the body of a request is on its way."""

import asyncio
import socket
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

How = Literal["answer", "close", "reset", "slow", "refuse_continue", "no_continue"]
SMALL_BUFFER = 4096  # bytes that the kernel takes for a server that reads slowly
LINGER = 5.0  # seconds for which an early answer waits for the rest of the body, as nginx does


class Upload(NamedTuple):
    """How the body of a request is received.

    Attributes:
        how: the fault.
        status: the status of an early answer.
        after: the bytes of the body after which it happens.
        rate: the bytes per second that a slow server reads.
    """

    how: How
    status: int
    after: int
    rate: float


class Reception(NamedTuple):
    """The reception of one body.

    Attributes:
        upload: the fault.
        answer: returns the answer that comes too early.
        over: is called with the end that the ledger records, if the request ends here.
    """

    upload: Upload
    answer: Callable[[], bytes]
    over: Callable[[Literal["refused", "closed", "reset"]], None]


class Receiver(Protocol):
    """The connection, as a fault of the reception uses it."""

    def close(self) -> None: ...

    def reset(self) -> None: ...

    def discard(self, seconds: float) -> None:
        """Read on without use, for some seconds at most, and close."""

    @property
    def transport(self) -> asyncio.Transport: ...


class FaultyReception:
    """The fault of one body, as its bytes come in.

    Attributes:
        over: whether it has ended the request; it does so once.
    """

    def __init__(self, reception: Reception, connection: Receiver) -> None:
        self._reception, self._connection = reception, connection
        self._came = 0
        self.over = False
        if reception.upload.how == "slow":
            shared = connection.transport.get_extra_info("socket")
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)

    def head_complete(self, *, asks_to_continue: bool) -> bool:
        """Act after the head; tell whether the client is asked to send its body."""
        if self._reception.upload.how == "refuse_continue" and asks_to_continue:
            self._answer()
            return False
        return not self._came_enough(0) and self._reception.upload.how != "no_continue"

    def body(self, size: int) -> None:
        """Act after some bytes of the body."""
        upload = self._reception.upload
        if upload.how == "slow":
            transport = self._connection.transport
            transport.pause_reading()
            loop = asyncio.get_running_loop()
            loop.call_later(size / upload.rate, _resume, transport)
        else:
            self._came_enough(size)

    def _came_enough(self, size: int) -> bool:
        """Count bytes, and act if they are enough; tell whether the request is over."""
        if self.over:
            return True
        how, _, after, _ = self._reception.upload
        self._came += size
        if how not in ("answer", "close", "reset") or self._came < after:
            return False
        if how == "answer":
            self._answer()
            return True
        self.over = True
        self._reception.over("closed" if how == "close" else "reset")
        if how == "close":
            self._connection.close()
        else:
            self._connection.reset()
        return True

    def _answer(self) -> None:
        self.over = True
        self._reception.over("refused")
        self._connection.transport.write(self._reception.answer())
        self._connection.discard(LINGER)


def _resume(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()
