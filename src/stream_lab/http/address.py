"""Addresses as people write them: their parts, and what an error may quote of them."""

import re
from collections.abc import Collection
from urllib.parse import SplitResult, quote, urlsplit

from stream_lab.redact import HIDDEN

_BEGINNING = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")
_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f]")
_NO_TEXT = re.compile("[\ud800-\udfff]")
"""What Python makes of bytes of an argument that are not UTF-8."""
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class NotAnAddress(ValueError):
    """What is wrong with an address, as a clause that does not quote it."""


def parts_of(address: str, schemes: Collection[str] = ("http", "https")) -> SplitResult:
    """Return the parts of an address, of which the port is a number or missing.

    Args:
        address: the address.
        schemes: those that it may have.

    Raises:
        NotAnAddress: it has no host, another scheme, or a part that cannot be used.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        host.encode("idna")
    except ValueError:
        raise NotAnAddress("its host is not valid") from None
    if parts.scheme not in schemes or not host:
        raise NotAnAddress("it has no scheme such as http, or no host")
    try:
        parts.port  # noqa: B018 - it is read, and checked, only here
    except ValueError:
        raise NotAnAddress("its port must be a number up to 65535") from None
    if _UNSEEN.search(address):
        raise NotAnAddress("it has a space or a control character")
    if _NO_TEXT.search(address):
        raise NotAnAddress("it is not UTF-8")
    return parts


def sent(parts: SplitResult) -> SplitResult:
    """Return an address as it is sent, in ASCII and without its fragment."""
    host = (parts.hostname or "").encode("idna").decode()
    netloc = parts.netloc
    if not netloc.isascii():
        netloc = host if parts.port is None else f"{host}:{parts.port}"
    # The percent sign stays, as what is ASCII may be encoded already.
    path, query = (quote(text, safe=_ASCII) for text in (parts.path, parts.query))
    return SplitResult(parts.scheme, netloc, path, query, "")


def quotable(address: str) -> str:
    """Return an address, or what should be one, without its user, password and query.

    It need not be valid. If an `@` follows a `?`, a password may hold both, and only the scheme is
    quoted.
    """
    beginning = _BEGINNING.match(address)
    scheme = beginning[0] if beginning else ""
    place, mark, query = address.removeprefix(scheme).replace("#", "?").partition("?")
    if "@" in query:
        return f"{scheme}{HIDDEN}"
    _, user, rest = place.rpartition("@")
    return f"{scheme}{HIDDEN * bool(user)}{user}{rest}{mark}{HIDDEN * bool(mark)}"
