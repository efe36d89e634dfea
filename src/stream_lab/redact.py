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


def _unescaped(text: str) -> str:
    codes = re.findall(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})", text)
    return "".join(chr(int(long or short, 16)) for long, short in codes)


_ENCODED = (
    (re.compile(r"[^\s<>\"']*%[0-9A-Fa-f]{2}[^\s<>\"']*"), unquote_plus),
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
        for length in range(len(secret) - 1, PART - 1, -1):
            # A quotation was cut inside the secret: an ellipsis follows, or the text ends.
            text, times = re.subn(rf"{re.escape(secret[:length])}(?=…|\.?$)", HIDDEN, text)
            if times:
                break
    return text


def without_whole(text: str, secrets: list[str], hidden: str = HIDDEN) -> str:
    """Return a long text, such as a file, with each whole secret hidden."""
    for secret in secrets:
        text = text.replace(secret, hidden)
    return text


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
    return any(
        each in text or any(text.endswith(each[:n]) for n in range(PART, len(each)))
        for each in secrets
    )


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
