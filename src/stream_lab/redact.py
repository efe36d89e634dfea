"""Secrets, hidden in any usual spelling wherever something repeats them."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from fake_vllm.spellings import AROUND, Plain, ends, places

HIDDEN = "•••"
SURE = 8  # letters of base64, of which a few occur in any picture
SHORTEST = 4  # characters; a shorter value occurs in any sentence
SHORTEST_IN_JSON = 8  # characters; `text` and `1111` occur in any file
PART = 6  # characters of a secret whose rest was cut off
_CUT = re.compile(rb"(?=\xe2\x80\xa6|\.? ?\Z)")
"""Places where a quotation may have been cut: an ellipsis follows, or the text ends."""
_JSON_STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)("|\\?\Z)', re.DOTALL)
"""A string of JSON; the file may end inside it."""


def spellings_of(secrets: Iterable[str]) -> list[str]:
    """Return secrets as base64 and hexadecimal spell them too, the longest first.

    JSON, HTML and addresses need no spelling of their own, since `without` reads them.
    """
    spelled = {form for text in secrets if len(text) >= SHORTEST for form in _spellings(text)}
    return sorted(spelled, key=len, reverse=True)


def without(text: str, secrets: list[str]) -> str:
    """Return a text with each secret hidden, and each part that a cut has left.

    Args:
        text: the text.
        secrets: of `spellings_of`.
    """
    return _hidden(text, secrets, cut=True)


def without_whole(text: str, secrets: list[str]) -> str:
    """Return a long text with each whole secret hidden."""
    return _hidden(text, secrets, cut=False)


def without_in_json(text: str, secrets: list[str]) -> str:
    """Return a JSON file in which each whole secret is hidden; it stays valid JSON.

    Secrets of fewer than eight characters stay, since such a word may be a part of the format. A
    file that is not JSON, such as one that was cut off, is a text.
    """
    secrets = [each for each in secrets if len(each) >= SHORTEST_IN_JSON]
    shown = without_whole(text, secrets)
    if shown == text:
        return text
    kept = _JSON_STRING.sub(lambda found: f'"{without_whole(found[1], secrets)}{found[2]}', text)
    try:
        json.loads(kept)
    except (ValueError, RecursionError):
        return shown
    return kept


def _hidden(text: str, secrets: list[str], *, cut: bool) -> str:
    """Return a text with what stands in place of each secret."""
    written = text.encode("utf-8", "surrogatepass")
    kept, done = [], 0
    for begin, end in sorted(_spans(written, secrets, cut)):
        if begin >= done:
            kept += [written[done:begin], HIDDEN.encode()]
        done = max(done, end)
    return b"".join([*kept, written[done:]]).decode("utf-8", "surrogatepass")


def _spans(written: bytes, secrets: list[str], cut: bool) -> Iterator[tuple[int, int]]:
    """Yield where secrets stand, in any order."""
    plain = Plain(written)
    for secret in secrets:
        # As it stands, too: the text before a secret may take a part of it for its own escape.
        literal, form = _read(secret)
        if len(literal) >= SHORTEST:
            yield from places(written, literal)
        if len(form) >= SHORTEST:
            found = [*places(plain.text, form), *(_cut_places(plain.text, form) if cut else ())]
            yield from (plain.origin(*place) for place in found)


@lru_cache(1024)
def _read(secret: str) -> tuple[bytes, bytes]:
    """Return a secret without quotes at its ends, and as a plain text reads."""
    data, around = secret.encode("utf-8", "surrogatepass"), AROUND.encode()
    return data.strip(around), Plain(data).text.strip(around)


def _cut_places(text: bytes, secret: bytes) -> Iterator[tuple[int, int]]:
    """Yield where a cut has left the first part of a secret."""
    for cut in _CUT.finditer(text) if secret[:PART] in text else ():
        for end in ends(text, cut.start()):
            if (begin := _begin_of_part(text, end, secret)) >= 0:
                yield begin, cut.start()
                break


def _begin_of_part(text: bytes, end: int, secret: bytes) -> int:
    """Return where the longest first part of a secret begins that ends at a place.

    -1: none ends there. Only places where the secret may begin are compared, since a token has
    thousands of characters, and each of its first parts would be a search of its own.
    """
    begin = text.find(secret[:PART], max(0, end - len(secret) + 1), end)
    while begin >= 0 and not secret.startswith(text[begin:end]):
        begin = text.find(secret[:PART], begin + 1, end)
    return begin


def _spellings(text: str) -> Iterator[str]:
    """Yield a text as it is, and as hexadecimal and base64 spell it."""
    # A variable of the environment may have bytes that are not UTF-8.
    data = text.encode(errors="surrogatepass")
    yield from (text, data.hex(), data.hex().upper())
    # Base64 of more text: three bytes are four letters, so a secret has three spellings inside.
    for before in range(3):
        inner = base64.b64encode(bytes(before) + data).decode()
        last = len(inner) if not (before + len(data)) % 3 else -4
        whole = inner[4 if before else 0 : last]
        for form in (whole, *((inner, inner.rstrip("=")) if not before else ())):
            if len(form) >= SURE:
                yield from (form, form.translate(str.maketrans("+/", "-_")))
