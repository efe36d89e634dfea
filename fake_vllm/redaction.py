"""Keys, cookies and accounts, which are shown and written nowhere."""

import base64
import contextlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, unquote_plus

from fake_vllm.spellings import AROUND, Plain, ends, places

REMOVED: Final = "removed"
"""What stands in place of a key or a cookie."""
SECRET: Final = re.compile(
    r"authorization|authentication|(api|app|auth|access|subscription)[-_]?key|token|cookie|secret"
    r"|pass(word|wd|phrase|code)|credential|jwt|hmac|dpop|oidc-data"
    r"|(^|[-_])(key|auth|sig|signature|pass|pwd|otp|bearer)([-_](\d+|ed25519|sha\d+))?$"
    r"|^openai-(organization|project)$",
    re.IGNORECASE,
)
"""Names of headers and parameters whose values are not shown."""
HARMLESS: Final = re.compile(
    r"^access-control-|^(?=.{0,60}ratelimit-)(?!.*(bypass|key|secret|auth))"
    r"|(^|[-_])token[-_](count|usage)$"
    r"|(?<!auth)(?<!access)(?<!refresh)(?<!session)(?<!api)(?<!bearer)"
    r"[-_]tokens([-_](count|total|used|limit|remaining|reset|cached))?$"
    r"|(idempotency|websocket|surrogate|cache|sort)[-_]?key$",
    re.IGNORECASE,
)
"""Names that look secret, and are those of counts or of keys that open nothing."""
SECRET_PARAMETER: Final = re.compile(
    r"(auth[-_]?)?code|(client_)?assertion|pw|sid|session([-_]?id)?|(?-i:.*[a-z]Key)", re.IGNORECASE
)
"""Further names of secrets in a query."""
KEY_IN_PROTOCOL: Final = re.compile(
    r"(?<=insecure-api-key\.)[^\s,;]+|(?<=bearer\.authorization\.k8s\.io\.)[^\s,;]+"
)
"""The key that a browser, which sets no other header of a WebSocket, has in the protocol's name.

Sources: OpenAI's guide to Realtime over WebSockets, and Kubernetes' remotecommand.
"""
USER_INFO: Final = re.compile(r"(?<=//)[^/?#\s]*(?=@)")
"""The user and the password in an address."""
USER_IN_QUERY: Final = re.compile(
    r"(?<=//)(?:[^/?#\s+]*|[^/?#\s+:]+:[^/?#\s]*)(?=@)"  # in a query, a + before any : is a blank
)
"""The user and the password of an address in a query."""
NESTED_PARAMETER: Final = re.compile(r"=|%(25)*3d", re.IGNORECASE)
"""A parameter of an address that is quoted any number of times."""
FAR: Final = 8
"""How often an address that is nested more often is decoded."""
PARAMETER: Final = re.compile(r"(?:^|[;?#])([^=;?#]*)=")
"""A parameter in a part of a query; some servers separate parameters by semicolons."""
NESTED: Final = 3
"""How often an address in a parameter of an address is looked into."""
VALUE_ENDS: Final = re.compile(r"[;#,\s<>\"']")
"""Where the value of a parameter may end before the next `&`."""
CREDENTIAL: Final = re.compile(r'(?<![\w-])([\w-]+)=("[^"]*"|[^\s,;]+)')
"""A named part of a header such as Authorization."""
SCHEME: Final = re.compile(r"\S*auth\S* (?:[a-z]+|AWS4-\S+)", re.IGNORECASE)
"""The name of a header and a first word that is no key, such as Bearer."""
WORD_ENDS: Final = re.compile(r"[\s,;]+")
"""What stands between words of a header."""
SECRET_COOKIE: Final = re.compile(r"sess|sid$|auth(?!or)|csrf|xsrf|login|remember", re.IGNORECASE)
"""Further names of cookies that open something."""
MIXED: Final = re.compile(r"(?=[A-Za-z]{0,7}\d)(?=\d{0,7}[A-Za-z])[A-Za-z\d]{8}")
"""Letters and digits as a key has them, and no number, word, date or name of a model."""
LEAST_COOKIE: Final = 16  # characters; a shorter value may stand in many bodies
LEAST_SECRET: Final = 8  # characters; a shorter key, such as "-", stands in many texts
MOST_SECRETS: Final = 100
"""How many secrets of a request are looked for; with more, all its text is removed."""
ENCODINGS: Final = ("utf-8", "latin-1")
"""How a secret may stand in the bytes of a body."""
WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
"""Further encodings of JSON."""


class _Span(NamedTuple):
    """Where a secret stands in some bytes, and what replaces it."""

    begin: int
    end: int
    instead: bytes


@lru_cache(128)
def is_secret(name: str) -> bool:
    """Tell whether a header has a key, a cookie or an account."""
    return SECRET.search(name) is not None and HARMLESS.search(name) is None


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers in which secrets are replaced."""
    return {name: shown_value(name, text) for name, text in headers.items()}


def shown_value(name: str, text: str) -> str:
    """Return the value of a header as it is shown."""
    if is_secret(name):
        return REMOVED
    return address_without_secrets(KEY_IN_PROTOCOL.sub(REMOVED, text))


def address_without_secrets(address: str, nested: int = NESTED) -> str:
    """Return an address, or another text, without its user and the keys in its query."""
    path, query = _split_address(address)
    query = USER_IN_QUERY.sub(REMOVED, query)
    return USER_INFO.sub(REMOVED, path) + query_without_secrets(query, nested)


def place_of(address: str) -> str:
    """Return an address that may be no address, without its user, query and fragment.

    It is for an error that refuses it: a mistyped address has its password anywhere before the `@`.
    """
    scheme, mark, rest = address.partition("://")
    _, user_ends, place = address.rpartition("@")
    if mark and "@" not in scheme:
        place = scheme + mark + rest.rpartition("@")[2]
    elif not user_ends:
        place = address
    return re.split(r"[?#]", place, maxsplit=1)[0]


def query_without_secrets(query: str, nested: int = NESTED) -> str:
    """Return a query string, as it came, in which the values of secrets are replaced."""
    if "=" not in query:
        return query
    return "&".join(_part_without_secrets(part, nested) for part in query.split("&"))


def secrets_of(
    headers: Mapping[str, str], query: str = "", repeated: Iterable[tuple[str, str]] = ()
) -> list[str]:
    """Return the secret texts of a request, which must not stand anywhere, the longest first.

    Args:
        headers: the headers.
        query: the query string as it came, since another server may repeat it so.
        repeated: further values of headers that came several times.
    """
    texts = set(_secrets_in_query(query))
    for name, text in (*headers.items(), *repeated):
        texts.update(secrets_in_header(name, text))
    texts = {text.strip(AROUND) for text in texts}
    return sorted((text for text in texts if _is_long(text)), key=len, reverse=True)


def secrets_in_header(name: str, text: str) -> Iterator[str]:
    """Yield the secrets in a header, of any length."""
    if is_secret(name):
        yield from _secrets_in_secret_header(name, text)
    else:
        yield from KEY_IN_PROTOCOL.findall(text)
        yield from secrets_in_address(text)


def _is_long(text: str) -> bool:
    """Tell whether a text is long enough to be looked for."""
    return len(unquote_plus(text).strip()) >= LEAST_SECRET


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets, however JSON, HTML or a URL quotes them."""
    body = text.encode("utf-8", "replace")
    if not (spans := _spans(body, secrets)):
        return text
    made, at = [], 0
    for span in spans:
        made += [body[at : span.begin], span.instead]
        at = span.end
    return b"".join([*made, body[at:]]).decode("utf-8", "replace")


def pieces_without(pieces: Sequence[bytes], secrets: Iterable[str]) -> list[bytes]:
    """Return the pieces of a body without these secrets, as many pieces as before.

    A secret may begin in one piece and end in a later one. What replaces it stands where it begins,
    and a piece inside it is empty. If the body ends inside a secret, its beginning goes too.
    """
    body, made, begin = b"".join(pieces), [], 0
    spans = deque(_spans(body, secrets, cut_off=True))
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


def _spans(body: bytes, secrets: Iterable[str], *, cut_off: bool = False) -> list[_Span]:
    """Return where these secrets stand, in order; those that overlap are one.

    Args:
        body: the bytes to look at.
        secrets: the secrets; if there are too many to look for each, all the bytes are one.
        cut_off: whether the bytes may end inside a secret, whose beginning then goes too.
    """
    if len(secrets := set(filter(None, secrets))) > MOST_SECRETS:
        return [_Span(0, len(body), REMOVED.encode())] if body else []
    encodings = ENCODINGS + (WIDE if b"\0" in body else ())
    # As it stands, too: the text before a secret may take a part of it for its own escape.
    found = [
        _Span(*place, instead)
        for secret, instead in _encoded(secrets, encodings).items()
        for place in _places(body, secret, cut_off)
    ]
    plain = Plain(body)
    for secret in {
        Plain(each).text.strip(AROUND.encode()) for each in _encoded(secrets, ENCODINGS)
    }:
        if len(secret.strip()) < LEAST_SECRET:
            continue
        for place in _places(plain.text, secret, cut_off):
            begin, end = plain.origin(*place)
            if cut_off and place[1] == len(plain.text):
                end = len(body)
            found.append(_Span(begin, end, _instead(body[begin:end])))
    merged: list[_Span] = []
    for span in sorted(found):
        if merged and span.begin < merged[-1].end:
            last = merged.pop()
            merged.append(last._replace(end=max(span.end, last.end)))
        else:
            merged.append(span)
    return merged


def _places(text: bytes, secret: bytes, cut_off: bool) -> Iterator[tuple[int, int]]:
    """Yield where a secret begins and ends in a text, whole or cut."""
    yield from places(text, secret)
    if not cut_off:
        return
    cuts = ends(text)
    at = text.find(secret[:LEAST_SECRET], max(0, cuts[-1] - len(secret) + 1))
    while at >= 0:
        if any(at + LEAST_SECRET <= cut and secret.startswith(text[at:cut]) for cut in cuts):
            yield at, len(text)
            return
        at = text.find(secret[:LEAST_SECRET], at + 1)


def _instead(removed: bytes) -> bytes:
    """Return what replaces a secret, with as many zeros after each letter as it had."""
    zeros = removed.count(0) / len(removed)
    return (b"\0" * (3 if zeros > 0.6 else zeros > 0.25)).join(
        bytes((each,)) for each in REMOVED.encode()
    )


def _encoded(secrets: Iterable[str], encodings: Iterable[str]) -> dict[bytes, bytes]:
    """Return the bytes of these secrets with their replacements."""
    made = {}
    for secret in secrets:
        for text in readings(secret):
            for encoding in encodings:
                with contextlib.suppress(UnicodeEncodeError):  # not every text is Latin-1
                    written, instead = _trimmed(text.encode(encoding), REMOVED.encode(encoding))
                    made[written] = instead
    return made


def _trimmed(written: bytes, instead: bytes) -> tuple[bytes, bytes]:
    """Return two texts in one encoding without the zeros that both have at their ends.

    ASCII is then the same in both orders of bytes. Zeros of one alone stay, or what follows would
    begin in the middle of a character.
    """
    while written[:1] == instead[:1] == b"\0":
        written, instead = written[1:], instead[1:]
    while written[-1:] == instead[-1:] == b"\0":
        written, instead = written[:-1], instead[:-1]
    return written, instead


def readings(secret: str) -> Iterator[str]:
    """Yield a secret as a header has it, and as its client wrote it."""
    yield secret
    if not secret.isascii():
        with contextlib.suppress(UnicodeError):
            yield secret.encode("latin-1").decode()


def _is_secret_parameter(name: str) -> bool:
    return is_secret(name) or (
        SECRET_PARAMETER.fullmatch(name) is not None and HARMLESS.search(name) is None
    )


def _secrets_in_secret_header(name: str, text: str) -> Iterator[str]:
    """Yield the secrets in a header that has some."""
    if "cookie" in name.lower():
        for cookie in text.split(";"):
            yield from _secrets_in_cookie(cookie.strip())
        return
    yield text
    scheme, *words = text.split(maxsplit=1) or [""]
    yield from _words(words[0] if words and SCHEME.fullmatch(name + " " + scheme) else text)
    if words and scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            pair = base64.b64decode(words[0].rstrip("=") + "==").decode("latin-1")
            yield from _user_and_password(pair)
    for found in CREDENTIAL.finditer(text):
        if _is_secret_parameter(found[1]):
            yield found[2].strip('"')


def _words(text: str) -> Iterator[str]:
    """Yield what may be a key of its own in a header."""
    for each in WORD_ENDS.split(text):
        word = each.strip("\"'")
        yield word
        if "=" not in word.rstrip("="):
            yield word.rpartition(":")[2].strip("\"'")
        elif MIXED.search(value := word.partition("=")[2].strip("\"'")):
            yield value


def _secrets_in_cookie(cookie: str) -> Iterator[str]:
    """Yield a cookie and its value if one of them shows a secret."""
    name, _, value = cookie.partition("=")
    if not value:
        counts = not (cookie.isalpha() or cookie.isdigit())
    else:
        counts = SECRET_COOKIE.search(name) is not None or _is_secret_parameter(name)
        value = value.strip().strip('"')
    if counts or (len(value) >= LEAST_COOKIE and MIXED.search(unquote(value))):
        yield from (cookie, value)


def _user_and_password(pair: str) -> Iterator[str]:
    """Yield a user with the password, and the secret part of both."""
    user, _, password = pair.partition(":")
    yield from (pair, password)
    if len(password) < LEAST_SECRET:  # as in KEY:x
        yield user


def secrets_in_address(text: str, nested: int = NESTED) -> Iterator[str]:
    """Yield the secrets in an address, or in a text that has one."""
    if "=" not in text and "//" not in text:
        return
    path, query = _split_address(text)
    yield from _users_in(path)
    yield from _users_in(query, USER_IN_QUERY)
    yield from _secrets_in_query(query, nested)


def _users_in(text: str, users: re.Pattern[str] = USER_INFO) -> Iterator[str]:
    """Yield the user and the password of each address in a text."""
    for found in users.finditer(text):
        for secret in _user_and_password(found[0]):
            yield from (secret, unquote(secret))


def _secrets_in_query(query: str, nested: int = NESTED) -> Iterator[str]:
    """Yield the values of secret parameters, as they came and decoded."""
    for part in query.split("&") if "=" in query else ():
        _, value, secret_follows = _split_parameter(part)
        if secret_follows:
            for secret in (value, VALUE_ENDS.split(value, maxsplit=1)[0]):
                yield from (secret, unquote(secret), unquote_plus(secret))
        elif nested:
            yield from _users_in(value, USER_IN_QUERY)
            yield from secrets_in_address(unquote_plus(value), nested - 1)
        elif "%" in value:
            yield from _secrets_far_inside(value)


def _secrets_far_inside(value: str) -> Iterator[str]:
    """Yield the secrets of an address that is nested too often to be read."""
    for _ in range(FAR):
        value = unquote_plus(value)
    for part in re.split("[?&;#]", value):
        name, _, secret = part.partition("=")
        if _is_secret_parameter(name):
            yield secret


def _part_without_secrets(part: str, nested: int) -> str:
    """Return a part of a query, as it came, without its secret."""
    before, value, secret_follows = _split_parameter(USER_IN_QUERY.sub(REMOVED, part))
    if secret_follows:
        return before + REMOVED
    plain = unquote_plus(value)
    if not nested and "%" in value and NESTED_PARAMETER.search(plain):
        return before + REMOVED  # nested too often to be read
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
