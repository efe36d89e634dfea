"""A log of answers, in the words of uvicorn's access log."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fake_vllm.http.connection import AccessLog
from fake_vllm.http.exchange import Exchange, phrase
from fake_vllm.http.listening import CannotListen


def access_log(file: Path) -> AccessLog:
    """Return a log that appends to a file, a line for each answer.

    Args:
        file: the file; `-` is standard error.

    Raises:
        CannotListen: the file cannot be written.
    """
    if str(file) == "-":
        out = sys.stderr
    else:
        try:
            out = file.open("a", buffering=1, encoding="utf-8")
        except OSError as error:
            raise CannotListen(f"Cannot write {file}: {error.strerror}.") from None

    def log(peer: Any, exchange: Exchange, status: int) -> None:
        client = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "-"
        query = f"?{exchange.query_string}" if exchange.query_string else ""
        asked = f"{exchange.method} {quote(exchange.base + exchange.path)}{query} HTTP/1.1"
        out.write(f'INFO:     {client} - "{asked}" {status} {phrase(status)}\n')

    return log
