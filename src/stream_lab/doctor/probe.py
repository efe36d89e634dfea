"""One request over a raw socket, with timed pieces and the connection's end.

HTTP clients hide whether the answer ended by the protocol, by a closed connection or by a reset.
"""

import socket
import ssl
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11

from stream_lab.background import in_time
from stream_lab.doctor.target import Target
from stream_lab.extras import require
from stream_lab.http.capture import Capture, End
from stream_lab.http.client import trust
from stream_lab.http.intake import Intake, TooMuch

CONNECT_WITHIN = 5.0  # seconds for the name's look-up, all of its addresses, and TLS
LEAST = 0.01  # seconds; a socket with a time-out of 0 does not wait at all
AT_ONCE = 65536  # bytes of one read
Address = tuple[Any, Any, int, str, Any]
"""An address of a name, as `socket.getaddrinfo` returns it."""


@dataclass
class Transcript(Capture):
    """The capture of one request, and the request.

    Attributes:
        until_close: whether only the end of the connection ends the body, which has no length.
    """

    target: Target = field(kw_only=True)
    until_close: bool = False


OnPiece = Callable[[Transcript], float | None]


def listen(
    target: Target,
    watch: float,
    *,
    on_piece: OnPiece | None = None,
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

    Raises:
        MissingExtra: the address is a WebSocket's, and the package for these is not installed.
    """
    transcript = Transcript(target=target)
    if target.socket:
        require("websockets", extra="doctor")
        from stream_lab.doctor.websocket import talk
    else:
        talk = _talk
    try:
        connection = _connect(target)
    except ssl.SSLError as error:
        return _over(transcript, End.NO_TLS, str(error.reason or error), 0.0)
    except OSError as error:
        return _over(transcript, End.NO_CONNECTION, error.strerror or str(error), 0.0)
    transcript.began = time.monotonic()
    with connection:
        try:
            end, why = talk(connection, transcript, watch, on_piece, hold)
        except TimeoutError:
            end, why = End.WATCHED, ""
        except TooMuch as error:
            end, why = End.WATCHED, str(error)
        except (ConnectionResetError, BrokenPipeError) as error:
            end, why = End.RESET, error.strerror or str(error)
        except h11.RemoteProtocolError as error:
            why = str(error)
            # h11's words for a connection that ends inside a message; any other error is not HTTP.
            closed = "peer closed connection" in why or "ConnectionClosed" in why
            end = End.CLOSED if closed else End.BROKEN
        except zlib.error as error:
            end, why = End.BROKEN, str(error)
        except ssl.SSLError as error:
            end, why = End.RESET, str(error.reason or error)
        except OSError as error:
            end, why = End.RESET, error.strerror or str(error)
        return _over(transcript, end, why, time.monotonic() - transcript.began)


def request_headers(target: Target, accept: str) -> list[tuple[str, str]]:
    """Return the headers to send; those of the target replace the doctor's own."""
    own = [
        ("host", target.authority),
        ("accept", accept),
        ("accept-encoding", "gzip"),  # as clients do, since a proxy that compresses may buffer
        ("user-agent", "stream-lab-doctor"),
    ]
    given = {name for name, _ in target.headers}
    return [*(each for each in own if each[0] not in given), *target.headers]


def _connect(target: Target) -> socket.socket:
    """Connect to one of the addresses of a name, within one bound for them all.

    Raises:
        OSError: no address has taken the connection, or TLS has failed.
    """
    ends = time.monotonic() + CONNECT_WITHIN
    connection = _connected(_addresses(target), ends)
    if not target.tls:
        return connection
    context = trust()
    if target.insecure:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        # The time-out of the socket is that of OpenSSL's handshake as a whole.
        connection.settimeout(max(LEAST, ends - time.monotonic()))
        secured = context.wrap_socket(connection, server_hostname=target.host)
    except BaseException:
        connection.close()
        raise
    secured.settimeout(CONNECT_WITHIN)
    return secured


def _addresses(target: Target) -> list[Address]:
    def look_up() -> list[Address]:
        return socket.getaddrinfo(target.host, target.port, 0, socket.SOCK_STREAM)

    try:
        return in_time(look_up, CONNECT_WITHIN)
    except TimeoutError:
        raise OSError(f"the name was not found in {CONNECT_WITHIN:g} s") from None


def _connected(addresses: list[Address], ends: float) -> socket.socket:
    """Connect to the first address that answers, with equal shares of the time left."""
    failure: OSError = TimeoutError("timed out")
    for number, (family, kind, protocol, _, place) in enumerate(addresses):
        left = ends - time.monotonic()
        if left < LEAST:
            break
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as error:  # this machine has no such kind of address
            failure = error
            continue
        try:
            connection.settimeout(max(LEAST, left / (len(addresses) - number)))
            connection.connect(place)
        except OSError as error:
            connection.close()
            failure = error
        else:
            connection.settimeout(CONNECT_WITHIN)
            return connection
    raise failure


def _talk(
    connection: socket.socket,
    transcript: Transcript,
    watch: float,
    on_piece: OnPiece | None,
    hold: float,
) -> tuple[End, str]:
    """Speak HTTP, and return how the answer ended and why.

    Errors of the connection are raised.
    """
    target, http = transcript.target, h11.Connection(h11.CLIENT)
    headers = request_headers(target, "text/event-stream, */*")
    if target.body or target.method != "GET":
        headers.append(("content-length", str(len(target.body))))
    intake = Intake()
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    head = http.send(h11.Request(method=target.method, target=target.path, headers=encoded)) or b""
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
                return End.WATCHED, ""
            connection.settimeout(left)
            http.receive_data(connection.recv(AT_ONCE))
        elif isinstance(event, h11.Response):
            transcript.status, transcript.head_at = event.status_code, time.monotonic() - began
            transcript.headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers
            }
            bounds = {"content-length", "transfer-encoding"}
            transcript.until_close = not bounds & transcript.headers.keys()
            intake.encoded(transcript.headers.get("content-encoding", ""))
        elif isinstance(event, h11.Data):
            transcript.pieces.append((time.monotonic() - began, intake.take(bytes(event.data))))
            if on_piece is not None and (enough := on_piece(transcript)) is not None:
                watch = min(watch, enough)
        elif isinstance(event, h11.EndOfMessage):
            return End.WHOLE, ""


def _over(transcript: Transcript, end: End, why: str, at: float) -> Transcript:
    transcript.ending, transcript.error, transcript.ended = end, why, at
    return transcript
