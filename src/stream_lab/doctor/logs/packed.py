"""Log files as a rotation leaves them: plain, or packed by gzip, bzip2 or xz."""

import bz2
import errno
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

MOST_MEMORY = 100_000_000  # bytes; a file of `xz -9` needs 65 million, and others up to 4 billion
AT_ONCE = 65536  # bytes of a packed file
UNREADABLE = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"PK\x03\x04": "zip"}
"""Packings that Python 3.11 cannot read, or that hold several files, by their first bytes."""
_GZIP = b"\x1f\x8b"
_XZ = b"\xfd7zXZ\x00"
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)")


def is_packed(file: Path) -> bool:
    """Tell whether a file is packed, by its first bytes.

    Raises:
        OSError: the file cannot be read, or has a packing that the doctor does not read.
    """
    start = _start(file)
    for first, name in UNREADABLE.items():
        if start.startswith(first):
            what = f"it is packed by {name}; unpack it first"
            raise OSError(errno.ENOTSUP, what, str(file))
    return start.startswith((_GZIP, _XZ)) or _BZIP2.match(start) is not None


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file to read its content, unpacked.

    Raises:
        OSError: the file cannot be read, or its packing is broken.
    """
    try:
        with _unpacked(file) as log:
            yield log
    except lzma.LZMAError as error:
        too_much = "Memory usage" in str(error)
        what = "it takes too much memory to unpack" if too_much else "its compression is broken"
        raise OSError(errno.EIO, what, str(file)) from None
    except (EOFError, zlib.error):
        raise OSError(errno.EIO, "its compression is broken", str(file)) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # Those of gzip and bzip2 have neither a number nor the name of the file.
        raise OSError(errno.EIO, "its compression is broken", str(file)) from None


def _start(file: Path) -> bytes:
    with file.open("rb") as log:
        return log.read(10)


def _unpacked(file: Path) -> BinaryIO:
    start = _start(file)
    if start.startswith(_GZIP):
        return cast("BinaryIO", gzip.open(file))
    if start.startswith(_XZ):
        return io.BufferedReader(_Xz(file), AT_ONCE)
    if _BZIP2.match(start):
        return cast("BinaryIO", bz2.open(file))
    return file.open("rb")


class _Xz(io.RawIOBase):
    """The content of an xz file, within a bound of memory that `lzma.open` lacks."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self._stream = self._next_stream()

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        data = b""
        while not data:
            packed = b""
            if self._stream.eof:
                # Another stream may follow, after zeros.
                packed = (self._stream.unused_data + self._file.read(AT_ONCE)).lstrip(b"\0")
                if not packed:
                    return 0
                self._stream = self._next_stream()
            elif self._stream.needs_input:
                packed = self._file.read(AT_ONCE)
                if not packed:
                    raise EOFError
            data = self._stream.decompress(packed, len(into))
        into[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    @staticmethod
    def _next_stream() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY)
