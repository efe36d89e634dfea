"""The 2048 tokens of the pretended model: special ones, bytes, and pieces.

There are 5 special tokens and 256 bytes; the rest are pieces of words and of JSON.
"""

from itertools import chain, islice, product
from typing import Final

from fake_vllm.model.words import VOCABULARY

SIZE: Final = 2048
SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
PAD, BEGIN, END, THINK, THINK_END = range(5)
"""`END` is the end-of-text token, `BEGIN` opens a message in the template, `PAD` has no text. The
marks around a thought are shown, as with Qwen3; only the tokens before `FIRST_SHOWN` are not."""
FIRST_SHOWN: Final = THINK
FIRST_BYTE: Final = len(SPECIAL)
FIRST_WORD: Final = FIRST_BYTE + 256
LONGEST: Final = max(map(len, SPECIAL))
"""The most characters of one token. A prompt with more than this many characters for each token of
context is too long without a count."""

_COMMON = (
    "a about after all also an and any are as at back be because been before but by can city come "
    "could day did do down each even find first for from get give go good great had has have he "
    "hello help her here him his how i if in into is it its just know large last like little long "
    "look make man many may me more most much must my name never new no not now number of off old "
    "on one only or other our out over own part people place right said same say see she should "
    "show small so some such take tell than that their them then there these they thing think this "
    "three time to too two under up us use user very was way we well went were what when where "
    "which who will with word work world would write year yes you your answer arguments assistant "
    "chat code data developer end error false file flag function http json key list model null "
    "object order output person prompt request server stop system task text tool true type value "
    "weather"
).split()
_JSON = (
    '{"',
    '": "',
    '": ',
    '", "',
    '": {"',
    '"}',
    '"}}',
    "{}",
    "[]",
    "}}",
    '"]',
    '["',
    ": ",
    ", ",
    '":',
    '",',
    " {",
    ' "',
    "\\n",
    '\\"',
)
TAGS: Final = ("<tool_call>", "</tool_call>")
_SPACES = ("\n\n", "  ", "    ", "\t\t", ".\n", ":\n", "\n  ")
_LETTERS = ("bcdfghjklmnprstvwz", "aeiou", "bdlmnprst")


def _pieces() -> list[str]:
    """Return words with and without a leading space, the most useful first, then syllables."""
    words = dict.fromkeys(chain(VOCABULARY, _COMMON))
    ended = (f"{space}{word}." for word in dict.fromkeys(VOCABULARY) for space in ("", " "))
    spelled = (f"{space}{word}" for word in words for space in ("", " "))
    capitals = (f"{space}{word.capitalize()}" for word in words for space in ("", " "))
    digits = map("".join, chain(product("0123456789", repeat=2), product(" ", "0123456789")))
    syllables = map("".join, product(*_LETTERS[:2]))
    closed = map("".join, product(*_LETTERS))
    wanted = chain(spelled, ended, capitals, digits, TAGS, _JSON, _SPACES, syllables, closed)
    several = (piece for piece in wanted if len(piece) > 1)
    return list(islice(dict.fromkeys(several), SIZE - FIRST_WORD))


_SEEN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_ALPHABET: Final = [*_SEEN, *(byte for byte in range(256) if byte not in _SEEN)]
"""The bytes in the order of byte-level tokenizers: visible Latin-1 characters before others."""
SHOWN: Final = {
    byte: chr(byte if at < len(_SEEN) else 0x100 + at - len(_SEEN))
    for at, byte in enumerate(_ALPHABET)
}
"""The character that shows each byte: itself where it is visible, or one from U+0100 on."""
BYTE_IDS: Final = {byte: FIRST_BYTE + at for at, byte in enumerate(_ALPHABET)}

PIECES: Final = _pieces()
BYTES: Final = (
    [name.encode() for name in SPECIAL]
    + [bytes([byte]) for byte in _ALPHABET]
    + [piece.encode() for piece in PIECES]
)
"""The bytes of each token, by id."""
IDS: Final = {name: id for id, name in enumerate(SPECIAL)} | {
    piece: FIRST_WORD + at for at, piece in enumerate(PIECES)
}
"""The id of each token that has text of its own; a single ASCII character is one of the bytes."""
IDS.update({chr(byte): BYTE_IDS[byte] for byte in range(128)})
