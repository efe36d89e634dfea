"""The bytes of one answer as they arrive, unpacked, within bounds of size and number.

A packed kilobyte may hold a megabyte, and an endless answer never stops arriving. Each piece and
each line becomes an object, so that many small ones take more memory than their bytes.
"""

import zlib

MOST = 20_000_000  # bytes
MOST_PIECES = 200_000
MOST_LINES = 400_000
"""An event of a stream has two lines, and a token is an event. No answer has 200,000 tokens."""


class TooMuch(Exception):
    """The signal that an answer exceeds a bound; the text says which."""


class Intake:
    """The intake of one answer; it counts, and unpacks gzip."""

    def __init__(
        self, most: int = MOST, *, pieces: int = MOST_PIECES, lines: int = MOST_LINES
    ) -> None:
        """Begin with nothing.

        Args:
            most: bytes at most, packed or unpacked.
            pieces: pieces at most.
            lines: line breaks at most.
        """
        self._most, self._pieces, self._lines = most, pieces, lines
        self._packed = self._unpacked = self._count = self._breaks = 0
        self._gzip: zlib._Decompress | None = None

    def encoded(self, encoding: str) -> None:
        """Note the encoding of the content; only gzip is unpacked."""
        if encoding.strip().lower() == "gzip":
            self._gzip = zlib.decompressobj(wbits=31)

    def take(self, data: bytes) -> bytes:
        """Return a piece as it is, or unpacked.

        Raises:
            TooMuch: with this piece the answer exceeds a bound.
            zlib.error: it is not gzip.
        """
        self._packed += len(data)
        if self._gzip is not None:
            left = self._most - self._unpacked
            data = b"" if self._gzip.eof else self._gzip.decompress(data, left + 1)
        self._unpacked += len(data)
        self._count += 1
        self._breaks += data.count(b"\n") + data.count(b"\r")
        for found, most, what in (
            (max(self._packed, self._unpacked), self._most, "bytes"),
            (self._count, self._pieces, "pieces"),
            (self._breaks, self._lines, "lines"),
        ):
            if found > most:
                raise TooMuch(f"more than {most:,} {what} came")
        return data
