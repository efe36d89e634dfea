"""End one stream of HTTP/2, which httpcore cannot (encode/httpcore#944).

A closed response only stops reading: the server goes on sending. RST_STREAM tells the server to
stop (RFC 9113, 6.4) and leaves the connection to the other streams.
"""

from typing import Any

_RST_STREAM, _CANCEL = 3, 8


def is_http2(response: Any) -> bool:
    """Return whether a response came over HTTP/2."""
    return "stream_id" in response.extensions


def reset_frame(response: Any) -> bytes:
    """Return the frame that cancels the stream of a response."""
    number: int = response.extensions["stream_id"]
    payload = _CANCEL.to_bytes(4)
    return len(payload).to_bytes(3) + bytes((_RST_STREAM, 0)) + number.to_bytes(4) + payload
