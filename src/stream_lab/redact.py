"""Secrets, hidden in any usual spelling wherever something repeats them."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote_plus

HIDDEN = "•••"
SURE = 8  # letters of base64, of which a few occur in any picture
SHORTEST = 4  # characters; a shorter value occurs in any sentence
PART = 6  # characters of a secret whose rest was cut off
_CUT = re.compile(r"(?=…|\.?$)")
"""Places where a quotation may have been cut: an ellipsis follows, or the text ends."""


def _unescaped(text: str) -> str:
    codes = re.findall(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})", text)
    return "".join(chr(int(long or short, 16)) for long, short in codes)


_ENCODED = (
    # From the first character of a run on, as a search from each of them would take its square.
    (re.compile(r"(?<![^\s<>\"'])[^\s<>\"']*%[0-9A-Fa-f]{2}[^\s<>\"']*"), unquote_plus),
    (
        re.compile(r"(?:\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}){4,}(?:\\u?[0-9A-Fa-f]{0,3})"),
        _unescaped,
    ),
    (re.compile(r"(?:&#x?[0-9A-Fa-f]{1,6};){4,}"), html.unescape),
)
"""Runs of text in which each character may be spelled in two ways, and how to read one."""


def spellings_of(secrets: Iterable[str]) -> list[str]:
    """Return every usual spelling of some secrets, the longest first."""
    spelled = {form for text in secrets if len(text) >= SHORTEST for form in _spellings(text)}
    return sorted((form for form in spelled if len(form) >= SHORTEST), key=len, reverse=True)


def without(text: str, secrets: list[str]) -> str:
    """Return a text with each secret hidden, and each part that a cut has left.

    Args:
        text: the text.
        secrets: of `spellings_of`.
    """
    text = _without_encoded(text, secrets)
    text = without_whole(text, secrets)
    for secret in secrets:
        if secret[:PART] in text:
            text = _without_cut(text, secret)
    return text


def without_whole(text: str, secrets: list[str], hidden: str = HIDDEN) -> str:
    """Return a long text, such as a file, with each whole secret hidden."""
    for secret in secrets:
        text = text.replace(secret, hidden)
    return text


def _without_cut(text: str, secret: str) -> str:
    """Hide each first part of a secret that a cut has left."""
    kept, done = [], 0
    for cut in _CUT.finditer(text):
        begin = _begin_of_part(text, cut.start(), secret, after=done)
        if begin >= 0:
            kept += [text[done:begin], HIDDEN]
            done = cut.start()
    return "".join([*kept, text[done:]])


def _begin_of_part(text: str, end: int, secret: str, after: int = 0) -> int:
    """Return where the longest first part of a secret begins that ends at a place.

    -1: none ends there. Only places where the secret may begin are compared, since a token has
    thousands of characters, and each of its first parts would be a search of its own.
    """
    begin = text.find(secret[:PART], max(after, end - len(secret) + 1), end)
    while begin >= 0 and not secret.startswith(text[begin:end]):
        begin = text.find(secret[:PART], begin + 1, end)
    return begin


def _without_encoded(text: str, secrets: list[str]) -> str:
    """Hide each run of encoded text that holds a secret when it is read."""
    for run, read in _ENCODED:
        text = run.sub(
            lambda found, read=read: (  # type: ignore[misc]
                HIDDEN if _holds(read(found[0]), secrets) else found[0]
            ),
            text,
        )
    return text


def _holds(text: str, secrets: list[str]) -> bool:
    """Tell whether a text holds a secret, or ends with the first part of one."""
    text = text.rstrip("….")
    return any(each in text or _begin_of_part(text, len(text), each) >= 0 for each in secrets)


def _spellings(text: str) -> Iterator[str]:
    """Yield a text as JSON, HTML, addresses, base64 and hexadecimal spell it."""
    yield from (text, json.dumps(text)[1:-1], html.escape(text))
    # A variable of the environment may have bytes that are not UTF-8.
    data = text.encode(errors="surrogatepass")
    yield from (quote(data), quote(data, safe=""), quote_plus(data))
    yield from (data.hex(), data.hex().upper())
    # Base64 of more text: three bytes are four letters, so a secret has three spellings inside.
    for before in range(3):
        inner = base64.b64encode(bytes(before) + data).decode()
        ends = len(inner) if not (before + len(data)) % 3 else -4
        whole = inner[4 if before else 0 : ends]
        for form in (whole, *((inner, inner.rstrip("=")) if not before else ())):
            if len(form) >= SURE:
                yield from (form, form.translate(str.maketrans("+/", "-_")))
