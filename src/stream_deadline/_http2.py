"""End one stream of HTTP/2, which httpcore cannot (encode/httpcore#944).

A closed response only stops reading: the server goes on sending. RST_STREAM tells the server to
stop (RFC 9113, 6.4) and leaves the connection to the other streams.
"""

_RST_STREAM, _CANCEL = 3, 8


def reset_frame(stream_id: int) -> bytes:
    """Return the frame that cancels a stream."""
    payload = _CANCEL.to_bytes(4)
    return len(payload).to_bytes(3) + bytes((_RST_STREAM, 0)) + stream_id.to_bytes(4) + payload
