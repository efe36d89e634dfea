"""A WSGI server for synchronous workers: `gunicorn stream_lab.relay.scaled_sync:app`."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from stream_lab.relay.model import ask_blocking


def app(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Answer `/text?tokens=40` as a stream, and `/blocking?tokens=40` in one piece."""
    asked = parse_qs(environ["QUERY_STRING"]).get("tokens")
    if asked is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b""]
    start_response("200 OK", [("Content-Type", "text/plain")])
    pieces = (piece.encode() for piece in ask_blocking(int(asked[0])))
    return [b"".join(pieces)] if environ["PATH_INFO"] == "/blocking" else pieces
