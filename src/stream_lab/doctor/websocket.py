"""A WebSocket as a stream of events: a message is one, a ping a comment.

So the same facts and rules apply as to Server-Sent Events. websockets' protocol without sockets
(`websockets.client.ClientProtocol`) reads the frames, so that the end of the connection is seen as
it is; the caller checks that the package is installed. Close codes: RFC 6455, 7.4.1, and IANA's
registry.
"""

import json
import socket
import time
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from stream_lab.doctor.probe import AT_ONCE, OnPiece, Transcript, request_headers
from stream_lab.http.capture import End
from stream_lab.http.intake import Intake
from stream_lab.untrusted import read_json

LARGEST_MESSAGE = 4_000_000  # bytes
IN_ORDER = {1000, 1005}  # a normal end, and one without a code
CODES = {
    1001: "the server is going away: it is stopped or restarted",
    1002: "a violation of the protocol",
    1003: "data of a kind that the server does not take",
    1007: "data that is not what its type says",
    1008: "a policy of the server",
    1009: "a message that is too big",
    1011: "an error of the server",
    1012: "the server restarts",
    1013: "the server is busy",
    1014: "a gateway got no valid answer from its server",
}
ENDS = set(
    "done end ended complete completed finish finished stop final stream_end message_stop "
    "response.completed response.done".split()
)
"""Values of a message's `type` or `event` that announce the end of an answer."""


def talk(
    connection: socket.socket,
    transcript: Transcript,
    watch: float,
    on_piece: OnPiece | None,
    hold: float,
) -> tuple[End, str]:
    """Shake hands, send the body as the first message, and listen.

    Returns how the stream ended and why; errors of the connection are raised. The arguments are
    those of `probe.listen`.
    """
    target = transcript.target
    protocol = ClientProtocol(parse_uri(target.url), max_size=LARGEST_MESSAGE)
    request = protocol.connect()
    for name, value in request_headers(target, "*/*"):
        if name not in ("accept", "accept-encoding"):
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
    protocol.send_request(request)
    data = b"".join(protocol.data_to_send())
    connection.sendall(data[:-1])
    time.sleep(hold)
    began = transcript.began = time.monotonic()
    connection.sendall(data[-1:])
    intake = Intake()
    half = bytearray()  # of a message in several frames
    longest = watch
    while True:
        left = began + watch - time.monotonic()
        if left <= 0:
            return End.WATCHED, ""
        connection.settimeout(left)
        received = connection.recv(AT_ONCE)
        if received:
            protocol.receive_data(received)
        else:
            protocol.receive_eof()
        for event in protocol.events_received():
            # One read holds thousands of small frames. What follows the end of an answer is heard.
            if (at := time.monotonic() - began) >= longest:
                return End.WATCHED, ""
            if isinstance(event, Response):
                _head(event, transcript, at)
                if event.status_code == 101 and target.body:
                    protocol.send_text(target.body)
            elif isinstance(event, Frame) and event.opcode is not Opcode.CLOSE:
                if event.opcode in (Opcode.PING, Opcode.PONG):
                    data = b": ping\n\n"
                else:
                    half += event.data
                    if not event.fin:
                        continue
                    data = _as_event(bytes(half))
                    half.clear()
                transcript.pieces.append((at, intake.take(data)))
                if on_piece is not None and (enough := on_piece(transcript)) is not None:
                    watch = min(watch, enough)
        if isinstance(protocol.handshake_exc, InvalidMessage):
            return (End.BROKEN if received else End.CLOSED), str(protocol.handshake_exc)
        if protocol.handshake_exc is not None:
            return End.WHOLE, ""  # a status that is not 101 is an answer
        if protocol.close_rcvd is not None:
            return _closed(protocol, transcript, time.monotonic() - began)
        if protocol.parser_exc is not None and received:
            return End.BROKEN, str(protocol.parser_exc)
        # At once, since each call has its own time, and a flood of pings has thousands of answers.
        if answers := b"".join(protocol.data_to_send()):
            left = began + watch - time.monotonic()
            if left <= 0:
                return End.WATCHED, ""
            connection.settimeout(left)
            connection.sendall(answers)
        if not received:
            return End.CLOSED, "the connection was closed without a close frame"


def _head(response: Response, transcript: Transcript, at: float) -> None:
    transcript.status, transcript.head_at = response.status_code, at
    transcript.headers = {name.lower(): value for name, value in response.headers.raw_items()}
    if response.status_code == 101:
        transcript.headers["content-type"] = "text/event-stream"
    elif response.body:
        transcript.pieces.append((at, bytes(response.body)))


def _closed(protocol: ClientProtocol, transcript: Transcript, at: float) -> tuple[End, str]:
    code, reason = protocol.close_rcvd.code, protocol.close_rcvd.reason  # type: ignore[union-attr]
    if code not in IN_ORDER:
        meaning = CODES.get(code, "a code of the application's own")
        said = f"the WebSocket was closed with {code}, {meaning}" + (f": {reason}" * bool(reason))
        transcript.pieces.append((at, f"event: error\ndata: {json.dumps(said)}\n\n".encode()))
    return End.WHOLE, ""


def _as_event(data: bytes) -> bytes:
    """Return a message as an event of Server-Sent Events."""
    text = data.decode(errors="replace")
    lines = "".join(f"data: {line}\n" for line in text.splitlines()) or "data: \n"
    return f"{_name(text)}{lines}\n".encode()


def _name(text: str) -> str:
    """Return the line that names the event, if a message says what it is."""
    if not text.lstrip().startswith("{"):
        return ""
    try:
        body: Any = read_json(text)
    except ValueError:
        return ""
    kind = str(body.get("type") or body.get("event") or "").lower()
    if kind in ENDS or body.get("done") is True:
        return "event: done\n"
    return "event: error\n" if kind == "error" else ""
