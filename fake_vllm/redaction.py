"""Keys, cookies and accounts, which are shown and written nowhere."""

import contextlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_plus

REMOVED: Final = "removed"
"""What stands in place of a key or a cookie."""
SECRET: Final = re.compile(
    r"authorization|api[-_]?key|token|cookie|secret|password|credential"
    r"|^openai-(organization|project)$",
    re.IGNORECASE,
)
"""Names of headers and parameters whose values are not shown."""
COUNTS: Final = re.compile(r"^x-ratelimit-|[-_]tokens$", re.IGNORECASE)
"""Names that look secret and are counts."""
SECRET_PARAMETER: Final = re.compile(r"key|sig|signature|auth|code|passw(or)?d", re.IGNORECASE)
"""Further names of secrets in a query."""
LEAST_SECRET: Final = 8  # characters; a shorter key, such as "-", stands in many texts
ENCODINGS: Final = ("utf-8", "latin-1")
"""How a secret may stand in the bytes of a body."""
WIDE: Final = ("utf-16-le", "utf-32-le")
"""Further encodings of JSON; without zeros at its ends, a key is the same in big-endian ones."""


class _Span(NamedTuple):
    """Where a secret stands in some bytes, and what replaces it."""

    begin: int
    end: int
    instead: bytes


def is_secret(name: str) -> bool:
    """Tell whether a header has a key, a cookie or an account."""
    return SECRET.search(name) is not None and COUNTS.search(name) is None


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers in which secrets are replaced."""
    return {name: shown_value(name, text) for name, text in headers.items()}


def shown_value(name: str, text: str) -> str:
    """Return the value of a header as it is shown."""
    return REMOVED if is_secret(name) else address_without_secrets(text)


def address_without_secrets(address: str) -> str:
    """Return an address, or another text, without the keys in its query."""
    path, mark, query = address.partition("?")
    return path + mark + query_without_secrets(query)


def parameters_without_secrets(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a query in which secrets are replaced."""
    return {name: REMOVED if _is_secret_parameter(name) else text for name, text in query.items()}


def query_without_secrets(query: str) -> str:
    """Return a query string, as it came, in which the values of secrets are replaced."""
    if "=" not in query:
        return query
    return "&".join(
        f"{name}={REMOVED}" if mark and _is_secret_parameter(unquote_plus(name)) else pair
        for pair in query.split("&")
        for name, mark, _ in [pair.partition("=")]
    )


def secrets_of(headers: Mapping[str, str], query: Mapping[str, str] | None = None) -> list[str]:
    """Return the secret texts of a request, which must not stand anywhere, the longest first."""
    texts = [text for name, text in headers.items() if is_secret(name)]
    texts += [text for name, text in (query or {}).items() if _is_secret_parameter(name)]
    words = {word for text in texts for word in (text, text.rpartition(" ")[2])}
    return sorted((word for word in words if len(word) >= LEAST_SECRET), key=len, reverse=True)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets, plain or quoted for JSON or a URL."""
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, REMOVED)
    return text


def pieces_without(pieces: Sequence[bytes], secrets: Iterable[str]) -> list[bytes]:
    """Return the pieces of a body without these secrets, as many pieces as before.

    A secret may begin in one piece and end in a later one. What replaces it stands where it begins,
    and a piece inside it is empty. If the body ends inside a secret, its beginning goes too.
    """
    body, made, begin = b"".join(pieces), [], 0
    spans = deque(_spans(body, secrets))
    for piece in pieces:
        at, end, kept = begin, begin + len(piece), []
        while spans and spans[0].begin < end:
            span = spans[0]
            if span.begin >= begin:
                kept += [body[at : span.begin], span.instead]
            at = min(span.end, end)
            if span.end > end:
                break  # the next piece has more of it
            spans.popleft()
        made.append(b"".join([*kept, body[at:end]]))
        begin = end
    return made


def _spans(body: bytes, secrets: Iterable[str]) -> list[_Span]:
    """Return where these secrets stand, in order; those that overlap are one."""
    found = []
    for secret, instead in _encoded(secrets, ENCODINGS + (WIDE if b"\0" in body else ())).items():
        at = body.find(secret)
        while at >= 0:
            found.append(_Span(at, at + len(secret), instead))
            at = body.find(secret, at + len(secret))
        for length in range(min(len(secret) - 1, len(body)), LEAST_SECRET - 1, -1):
            if body.endswith(secret[:length]):  # the body was cut off inside it
                found.append(_Span(len(body) - length, len(body), instead))
                break
    merged: list[_Span] = []
    for span in sorted(found):
        if merged and span.begin < merged[-1].end:
            last = merged.pop()
            merged.append(last._replace(end=max(span.end, last.end)))
        else:
            merged.append(span)
    return merged


def _encoded(secrets: Iterable[str], encodings: Iterable[str]) -> dict[bytes, bytes]:
    """Return the bytes of these secrets, in all their forms, with their replacements."""
    made = {}
    for secret in secrets:
        for form in _forms(secret):
            for encoding in encodings:
                with contextlib.suppress(UnicodeEncodeError):  # not every text is Latin-1
                    made[form.encode(encoding).strip(b"\0")] = REMOVED.encode(encoding).strip(b"\0")
    return made


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms of a secret: plain, and quoted for JSON or a URL."""
    readings = [secret]
    with contextlib.suppress(UnicodeError):
        # A header was read as Latin-1; its client may have written UTF-8.
        readings.append(secret.encode("latin-1").decode())
    for text in readings:
        yield text
        for ascii_only in (True, False):
            in_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
            yield from (in_json, in_json.replace("/", r"\/"))  # as PHP writes it
        in_url = quote(text, safe="")
        yield from (in_url, re.sub("%..", lambda code: code[0].lower(), in_url))


def _is_secret_parameter(name: str) -> bool:
    return is_secret(name) or SECRET_PARAMETER.fullmatch(name) is not None
