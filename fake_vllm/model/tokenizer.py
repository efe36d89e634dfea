"""The tokenizer: text to token ids and back without loss, if need be as bytes."""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from zlib import crc32

from fake_vllm.model.vocabulary import (
    BYTE_IDS,
    BYTES,
    FIRST_SHOWN,
    FIRST_WORD,
    IDS,
    LONGEST,
    PIECES,
    SHOWN,
    SIZE,
    SPECIAL,
    TAGS,
)

_MARKS = frozenset((*SPECIAL, *TAGS))
_MARK = re.compile("(" + "|".join(map(re.escape, (*SPECIAL, *TAGS))) + ")")
_WORDS = re.compile(r" ?[^\W\d_]+| ?\d{1,2}| ?[^\s\w]+|_+|\s+(?=\s)|\s+")


def encode(text: str, most: int | None = None) -> list[int]:
    """Return the ids of a text; names of special tokens become these tokens.

    Args:
        text: the text.
        most: the number of ids after which to stop soon, for texts that are too long anyway. None:
            encode the whole text.
    """
    ids: list[int] = []
    for part in _MARK.split(text):
        if part in _MARKS:
            ids.append(IDS[part])
        else:
            _encode_words(part, ids, most)
        if most is not None and len(ids) >= most:
            return ids[:most]
    return ids


def _encode_words(text: str, ids: list[int], most: int | None) -> None:
    for match in _WORDS.finditer(text):
        word = match[0]
        id = IDS.get(word)
        if id is not None:
            ids.append(id)
        elif len(word) > LONGEST * 8:
            ids += islice(_spell(word), most)
        else:
            ids += _spelled(word)
        if most is not None and len(ids) >= most:
            return


def _spell(word: str) -> Iterator[int]:
    at = 0
    while at < len(word):
        for length in range(min(LONGEST, len(word) - at), 0, -1):
            if (id := IDS.get(word[at : at + length])) is not None:
                yield id
                at += length
                break
        else:
            yield from (BYTE_IDS[byte] for byte in word[at].encode("utf-8", "surrogatepass"))
            at += 1


@cache
def _spelled_of_cache(word: str) -> tuple[int, ...]:
    return tuple(_spell(word))


def _spelled(word: str) -> tuple[int, ...]:
    if _spelled_of_cache.cache_info().currsize > 20_000:  # a server may run for ever
        _spelled_of_cache.cache_clear()
    return _spelled_of_cache(word)


def decode(ids: Iterable[int], *, skip_special: bool = False) -> str:
    """Return the text of ids; ids beyond the vocabulary have none."""
    least = FIRST_SHOWN if skip_special else 0
    return b"".join(BYTES[id] for id in ids if least <= id < SIZE).decode("utf-8", "replace")


def one_id(text: str) -> int:
    """Return one token id for a text: its own, or else one by its hash."""
    own = IDS.get(text)
    return (
        FIRST_WORD + crc32(text.encode("utf-8", "surrogatepass")) % len(PIECES)
        if own is None
        else own
    )


def token_string(id: int) -> str:
    """Return a token as the vocabulary shows it, with a space as "Ġ"."""
    return SPECIAL[id] if id < len(SPECIAL) else "".join(SHOWN[byte] for byte in BYTES[id])


class Incremental:
    """A decoder for one id at a time.

    A token that is a part of a character has no text; the last part has the whole character.
    """

    def __init__(self, *, skip_special: bool = True) -> None:
        self._utf8 = getincrementaldecoder("utf-8")("replace")
        self._least = FIRST_SHOWN if skip_special else 0

    def text(self, id: int) -> str:
        return self._utf8.decode(BYTES[id]) if self._least <= id < SIZE else ""


def steps(ids: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Return each id with the text that it adds."""
    text = Incremental().text
    return ((id, text(id)) for id in ids)
