"""One request over a raw socket, with timed pieces and the connection's end.

HTTP clients hide whether the answer ended by the protocol, by a closed connection or by a reset.
"""

import socket
import ssl
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import h11

from stream_lab.doctor.target import Target
from stream_lab.http.capture import Capture, End
from stream_lab.http.client import trust

CONNECT_WITHIN = 5.0  # seconds
AT_ONCE = 65536  # bytes of one read
MOST = 20_000_000  # bytes of one answer that are kept


@dataclass
class Transcript(Capture):
    """The capture of one request, and the request."""

    target: Target = field(kw_only=True)


def listen(
    target: Target,
    watch: float,
    *,
    on_piece: Callable[[Transcript], float | None] | None = None,
    hold: float = 0.0,
) -> Transcript:
    """Send a request, and listen until the answer ends, for at most `watch` seconds.

    Args:
        target: the request.
        watch: how long to listen, in seconds.
        on_piece: called with the transcript after each piece. It may return a new, shorter `watch`.
            None: `watch` stays.
        hold: how long to wait, in seconds, between the connection and the last byte of the request.
            Times are counted from that byte.
    """
    transcript = Transcript(target=target)
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
        connection = trust().wrap_socket(connection, server_hostname=target.host)
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
        ("accept-encoding", "gzip"),  # as clients do, since a proxy that compresses may buffer
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
        head = (
            http.send(h11.Request(method=target.method, target=target.path, headers=headers)) or b""
        )
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
                transcript.headers = {
                    name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers
                }
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
        # h11's words for a connection that ends inside a message; any other error is not HTTP.
        closed = "peer closed connection" in text or "ConnectionClosed" in text
        return over(End.CLOSED if closed else End.BROKEN, text)
    except zlib.error as error:
        return over(End.BROKEN, str(error))
    except ssl.SSLError as error:
        return over(End.RESET, str(error.reason or error))
    except OSError as error:
        return over(End.RESET, error.strerror or str(error))


def _over(transcript: Transcript, end: End, why: str, at: float) -> Transcript:
    transcript.ending, transcript.error, transcript.ended = end, why, at
    return transcript
