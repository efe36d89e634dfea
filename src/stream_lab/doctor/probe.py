"""One request over a raw socket: each piece of the answer with its time, and how the connection ended.

HTTP clients hide what is looked for here: whether an end was the protocol's, a closed connection or a reset one.
"""

import socket
import ssl
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import h11

from stream_lab.doctor.target import Target

CONNECT_WITHIN = 5.0  # seconds
AT_ONCE = 65536  # bytes of one read
MOST = 20_000_000  # bytes of one answer that are kept


class End(StrEnum):
    """How it was over."""

    WHOLE = "whole"  # as HTTP says an answer ends
    CLOSED = "closed"  # before that, in an orderly way (FIN)
    RESET = "reset"  # before that (RST)
    BROKEN = "broken"  # what came is no HTTP
    WATCHED = "watched"  # it was not; the watch was over
    NO_CONNECTION = "no connection"
    NO_TLS = "no TLS"


@dataclass
class Transcript:
    """What came. Times in seconds since the request was sent; `ended`: when it was over.

    `began`: when that was, on the clock of `time.monotonic()`. `status`: 0: no answer began. `pieces`: of the body, as they were read, chunks taken out of their frames.
    `why`: the words of the system or the protocol about an end that is none of HTTP's.
    """

    target: Target
    began: float = 0.0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    head_at: float | None = None
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    end: End = End.WATCHED
    ended: float = 0.0
    why: str = ""

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def listen(
    target: Target, watch: float, *, on_piece: Callable[[Transcript], float | None] | None = None, hold: float = 0.0
) -> Transcript:
    """Ask, and listen until it is over, at most `watch` seconds.

    `on_piece`: is shown the transcript after each piece, and may say how many seconds to watch in all from now on; None: as before.
    `hold`: seconds to wait between the connection and the last byte of the request; times are counted from that byte.
    """
    transcript = Transcript(target)
    try:
        connection = _connect(target)
    except ssl.SSLError as error:
        return _over(transcript, End.NO_TLS, str(error.reason or error), 0.0)
    except OSError as error:
        return _over(transcript, End.NO_CONNECTION, error.strerror or str(error), 0.0)
    with connection:
        _exchange(connection, transcript, watch, on_piece, hold)
    return transcript


def _connect(target: Target) -> socket.socket:
    connection = socket.create_connection((target.host, target.port), CONNECT_WITHIN)
    if target.tls:
        connection = ssl.create_default_context().wrap_socket(connection, server_hostname=target.host)
    return connection


def _exchange(
    connection: socket.socket,
    transcript: Transcript,
    watch: float,
    on_piece: Callable[[Transcript], float | None] | None,
    hold: float,
) -> None:
    target, http = transcript.target, h11.Connection(h11.CLIENT)
    headers = [
        ("host", target.authority),
        ("accept", "text/event-stream, */*"),
        ("accept-encoding", "gzip"),  # as clients do: a proxy that compresses may hold back what it is given
        ("user-agent", "stream-lab-doctor"),
        *target.headers,
    ]
    if target.method != "GET":
        headers.append(("content-length", str(len(target.body))))
    began, kept = time.monotonic(), 0
    unpack: Callable[[bytes], bytes] = bytes

    def over(end: End, why: str = "") -> None:
        _over(transcript, end, why, time.monotonic() - began)

    try:
        head = http.send(h11.Request(method=target.method, target=target.path, headers=headers)) or b""
        body = (http.send(h11.Data(data=target.body)) or b"") if target.body else b""
        body += http.send(h11.EndOfMessage()) or b""
        request = head + body
        connection.sendall(request[:-1])
        time.sleep(hold)
        began = transcript.began = time.monotonic()
        connection.sendall(request[-1:])
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                left = began + watch - time.monotonic()
                if left <= 0:
                    return over(End.WATCHED)
                connection.settimeout(left)
                http.receive_data(connection.recv(AT_ONCE))
            elif isinstance(event, h11.Response):
                transcript.status, transcript.head_at = event.status_code, time.monotonic() - began
                transcript.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                if transcript.headers.get("content-encoding") == "gzip":
                    unpack = zlib.decompressobj(wbits=31).decompress
            elif isinstance(event, h11.Data):
                transcript.pieces.append((time.monotonic() - began, unpack(bytes(event.data))))
                if on_piece is not None and (enough := on_piece(transcript)) is not None:
                    watch = min(watch, enough)
                kept += len(event.data)
                if kept > MOST:
                    return over(End.WATCHED, f"more than {MOST:,} bytes came")
            elif isinstance(event, h11.EndOfMessage):
                return over(End.WHOLE)
    except TimeoutError:
        return over(End.WATCHED)
    except (ConnectionResetError, BrokenPipeError) as error:
        return over(End.RESET, error.strerror or str(error))
    except h11.RemoteProtocolError as error:
        text = str(error)
        # What h11 says when the connection ends inside a message; all else is something that no HTTP server says.
        closed = "peer closed connection" in text or "ConnectionClosed" in text
        return over(End.CLOSED if closed else End.BROKEN, text)
    except zlib.error as error:
        return over(End.BROKEN, str(error))
    except ssl.SSLError as error:
        return over(End.RESET, str(error.reason or error))
    except OSError as error:
        return over(End.RESET, error.strerror or str(error))


def _over(transcript: Transcript, end: End, why: str, at: float) -> Transcript:
    transcript.end, transcript.why, transcript.ended = end, why, at
    return transcript
