"""A log of answers, in the words of uvicorn's access log."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fake_vllm.http.connection import AccessLog
from fake_vllm.http.exchange import Exchange, phrase
from fake_vllm.http.listening import CannotListen
from fake_vllm.redaction import query_without_secrets

STANDARD_ERROR = 2
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def access_log(file: Path) -> AccessLog:
    """Return a log that appends to a file, a line for each answer.

    A line that cannot be written is lost, and its answer is not; the first is reported.

    Args:
        file: the file; `-` is standard error.

    Raises:
        CannotListen: the file cannot be written.
    """
    own = str(file) == "-"
    try:
        # Unbuffered, so that a line that could not be written does not return at the end.
        out = open(STANDARD_ERROR if own else file, "ab", buffering=0, closefd=not own)  # noqa: SIM115
    except OSError as error:
        raise CannotListen(f"Cannot write {file}: {error.strerror}.") from None
    failed = False

    def log(peer: Any, exchange: Exchange, status: int) -> None:
        nonlocal failed
        client = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "-"
        query = quote(
            query_without_secrets(exchange.query_string), safe=PRINTABLE, encoding="latin-1"
        )
        target = quote(exchange.base + exchange.path) + (f"?{query}" if query else "")
        asked = f"{exchange.method} {exchange.without_keys(target)} HTTP/1.1"
        line = f'INFO:     {client} - "{asked}" {status} {phrase(status)}\n'
        try:
            out.write(line.encode())
        except OSError as error:
            if not failed:
                failed = True
                with suppress(OSError):
                    print(
                        f"fake-vllm: Cannot write {file}: {error.strerror}. The access log has "
                        "gaps; make room, or choose another --access-log.",
                        file=sys.stderr,
                        flush=True,
                    )

    return log
