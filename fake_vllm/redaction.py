"""Keys, cookies and accounts, which are shown and written nowhere."""

import base64
import contextlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus, unquote, unquote_plus

REMOVED: Final = "removed"
"""What stands in place of a key or a cookie."""
SECRET: Final = re.compile(
    r"authorization|(api|access)[-_]?key|token|cookie|secret|password|credential|jwt"
    r"|(^|[-_])(key|auth|sig|signature)([-_]\d+)?$"
    r"|^openai-(organization|project)$",
    re.IGNORECASE,
)
"""Names of headers and parameters whose values are not shown."""
HARMLESS: Final = re.compile(
    r"^x-ratelimit-|[-_]tokens$|(idempotency|websocket|surrogate|cache|sort)[-_]?key$",
    re.IGNORECASE,
)
"""Names that look secret, and are those of counts or of keys that open nothing."""
SECRET_PARAMETER: Final = re.compile(r"code|passwd|(client_)?assertion|(?-i:.*[a-z]Key)", re.I)
"""Further names of secrets in a query."""
USER_INFO: Final = re.compile(r"(?<=//)[^/?#\s]*(?=@)")
"""The user and the password in an address."""
PARAMETER: Final = re.compile(r"(?:^|[;?#])([^=;?#]*)=")
"""A parameter in a part of a query; some servers separate parameters by semicolons."""
NESTED: Final = 3
"""How often an address in a parameter of an address is looked into."""
VALUE_ENDS: Final = re.compile(r"[;#,\s<>\"']")
"""Where the value of a parameter may end before the next `&`."""
CREDENTIAL: Final = re.compile(r'([\w-]+)=("[^"]*"|[^\s,;]+)')
"""A named part of a header such as Authorization."""
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
    return SECRET.search(name) is not None and HARMLESS.search(name) is None


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers in which secrets are replaced."""
    return {name: shown_value(name, text) for name, text in headers.items()}


def shown_value(name: str, text: str) -> str:
    """Return the value of a header as it is shown."""
    return REMOVED if is_secret(name) else address_without_secrets(text)


def address_without_secrets(address: str, nested: int = NESTED) -> str:
    """Return an address, or another text, without its user and the keys in its query."""
    path, query = _split_address(USER_INFO.sub(REMOVED, address))
    return path + query_without_secrets(query, nested)


def place_of(address: str) -> str:
    """Return an address that may be no address, without its user, query and fragment.

    It is for an error that refuses it: a mistyped address has its password anywhere before the `@`.
    """
    scheme, mark, rest = address.partition("://")
    rest = (rest if mark else scheme).rpartition("@")[2]
    return (scheme + mark if mark else "") + re.split(r"[?#]", rest, maxsplit=1)[0]


def parameters_without_secrets(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a query in which secrets are replaced."""
    return {
        name: REMOVED if _is_secret_parameter(name) else address_without_secrets(text)
        for name, text in query.items()
    }


def query_without_secrets(query: str, nested: int = NESTED) -> str:
    """Return a query string, as it came, in which the values of secrets are replaced."""
    if "=" not in query:
        return query
    return "&".join(_part_without_secrets(part, nested) for part in query.split("&"))


def secrets_of(headers: Mapping[str, str], query: str = "") -> list[str]:
    """Return the secret texts of a request, which must not stand anywhere, the longest first.

    Args:
        headers: the headers.
        query: the query string as it came, since another server may repeat it so.
    """
    texts = set(_secrets_in_query(query))
    for name, text in headers.items():
        texts.update(_secrets_in_header(name, text) if is_secret(name) else _secrets_in(text))
    return sorted((text for text in texts if len(text) >= LEAST_SECRET), key=len, reverse=True)


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
        for in_url in (quote(text, safe=""), quote(text), quote_plus(text), quote_plus(text, "/")):
            yield from (in_url, re.sub("%..", lambda code: code[0].lower(), in_url))


def _is_secret_parameter(name: str) -> bool:
    return is_secret(name) or (
        SECRET_PARAMETER.fullmatch(name) is not None and HARMLESS.search(name) is None
    )


def _secrets_in_header(name: str, text: str) -> Iterator[str]:
    """Yield the secrets in a header that has some."""
    yield text
    words = text.split()
    yield from words[-1:]  # after a scheme such as Bearer
    if "cookie" in name.lower():
        for cookie in text.split(";"):
            before, mark, after = cookie.partition("=")
            value = (after if mark else before).strip()
            yield from (cookie.strip(), value, value.strip('"'), unquote(value))
    elif words[:1] and words[0].lower() == "basic":
        yield from _user_and_password(words[-1])
    else:
        for found in CREDENTIAL.finditer(text):
            if _is_secret_parameter(found[1]):
                yield found[2].strip('"')


def _user_and_password(encoded: str) -> Iterator[str]:
    """Yield what the scheme Basic encodes, and the part of it that is secret."""
    try:
        pair = base64.b64decode(encoded.rstrip("=") + "==").decode("latin-1")
    except ValueError:
        return
    user, _, password = pair.partition(":")
    yield from (pair, password or user)


def _secrets_in(text: str, nested: int = NESTED) -> Iterator[str]:
    """Yield the secrets in an address, or in a text that has one."""
    yield from _users_in(text)
    yield from _secrets_in_query(_split_address(text)[1], nested)


def _users_in(text: str) -> Iterator[str]:
    """Yield the user and the password of each address in a text."""
    for found in USER_INFO.finditer(text):
        user, _, password = found[0].partition(":")
        for secret in (found[0], password or user):
            yield from (secret, unquote(secret))


def _secrets_in_query(query: str, nested: int = NESTED) -> Iterator[str]:
    """Yield the values of secret parameters, as they came and decoded."""
    for part in query.split("&") if "=" in query else ():
        _, value, secret_follows = _split_parameter(part)
        if secret_follows:
            for secret in (value, VALUE_ENDS.split(value, maxsplit=1)[0]):
                yield from (secret, unquote(secret), unquote_plus(secret))
        elif nested:
            yield from _users_in(value)
            yield from _secrets_in(unquote_plus(value), nested - 1)


def _part_without_secrets(part: str, nested: int) -> str:
    """Return a part of a query, as it came, without its secret."""
    before, value, secret_follows = _split_parameter(USER_INFO.sub(REMOVED, part))
    if secret_follows:
        return before + REMOVED
    plain = unquote_plus(value)
    shown = address_without_secrets(plain, nested - 1) if nested else plain
    return before + (value if shown == plain else quote(shown))


def _split_parameter(part: str) -> tuple[str, str, bool]:
    """Split a part of a query before the value of its first secret.

    Without a secret, it is split before its first value, and the third value is False.
    """
    first = None
    for found in PARAMETER.finditer(part):
        if _is_secret_parameter(unquote_plus(found[1])):
            return part[: found.end()], part[found.end() :], True
        first = found.end() if first is None else first
    return part[:first], "" if first is None else part[first:], False


def _split_address(text: str) -> tuple[str, str]:
    """Split an address before its query, or before its fragment without one."""
    found = re.search(r"[?#]", text)
    at = len(text) if found is None else found.end()
    return text[:at], text[at:]
