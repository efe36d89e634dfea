"""The response headers of vLLM, in its order."""

from typing import Final

from fake_vllm.http.exchange import Headers

VARY: Final = (b"vary", b"Origin")
TYPE_JSON: Final = (b"content-type", b"application/json")
TYPE_HTML: Final = (b"content-type", b"text/html; charset=utf-8")
TYPE_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
STREAM_HEADERS: Final[Headers] = [(b"content-type", b"text/event-stream; charset=utf-8"), VARY]


def json_headers(length: int) -> Headers:
    """Return the headers of a JSON body of `length` bytes."""
    return [(b"content-length", b"%d" % length), TYPE_JSON, VARY]
