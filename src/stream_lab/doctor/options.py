"""Headers, cookies and bodies as people write them on the command line.

The texts of errors never repeat a value, which may be secret.
"""

import re
import sys
from pathlib import Path

from stream_lab.doctor.target import Headers, TargetError

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token, RFC 9110, 5.6.2
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = {"content-length", "transfer-encoding", "connection", "upgrade"}
METHODS = ("GET", "POST", "PUT", "PATCH")


def headers_of(headers: list[str], cookies: list[str]) -> Headers:
    """Return the headers of a request, names in lower case.

    Args:
        headers: texts like "Authorization: Bearer …".
        cookies: texts like "session=…; theme=dark", which become one header.

    Raises:
        TargetError: a text is not a header or a cookie.
    """
    found = [_header(text, number) for number, text in enumerate(headers, 1)]
    for number, text in enumerate(cookies, 1):
        if not text.strip() or "=" not in text:
            raise TargetError(f"Write --cookie number {number} as NAME=VALUE; it has no '='.")
        _check(text, f"--cookie number {number}")
    if cookies:
        found.append(("cookie", "; ".join(text.strip().rstrip("; ") for text in cookies)))
    return tuple(found)


def method_of(text: str | None) -> str | None:
    """Return the name of a method in upper case.

    Raises:
        TargetError: it is not one that has an answer to stream.
    """
    if text is None:
        return None
    if text.upper() not in METHODS:
        raise TargetError(f"--method must be one of {', '.join(METHODS)}; got '{text[:20]}'.")
    return text.upper()


def body_of(post: str | None) -> bytes | None:
    """Return the body that --post names: text, @FILE, or - for standard input.

    Raises:
        OSError: the file cannot be read.
        TargetError: nothing came from standard input.
    """
    if post is None:
        return None
    if post.startswith("@"):
        return Path(post[1:]).read_bytes()
    if post == "-":
        body = sys.stdin.buffer.read()
        if not body.strip():
            raise TargetError("--post - reads the body from standard input, and nothing came.")
        return body
    return post.encode()


def _header(text: str, number: int) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    where = f"--header number {number}"
    if not colon or not _NAME.fullmatch(name.strip()):
        raise TargetError(f"Write {where} as 'NAME: VALUE'; it has no name before a colon.")
    if name.strip().lower() in _FRAMING:
        raise TargetError(f"The doctor sets the header {name.strip()} itself; leave it out.")
    _check(value, where)
    return name.strip().lower(), value.strip()


def _check(value: str, where: str) -> None:
    if _UNPRINTABLE.search(value):
        raise TargetError(f"The value of {where} has a line break or a control character.")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise TargetError(
            f"The value of {where} has a character that a header cannot hold; encode it."
        ) from None
