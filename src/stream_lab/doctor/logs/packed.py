"""Log files as a rotation leaves them: plain, or packed by gzip, bzip2 or xz."""

import bz2
import errno
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
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
        raise _named(error, file) from None


def _named(error: OSError, file: Path) -> OSError:
    """Return an error with the name of the file, which one of reading lacks."""
    if error.errno is not None:
        return OSError(error.errno, error.strerror, str(file))
    return OSError(errno.EIO, "its compression is broken", str(file))  # as bzip2 says without both


def _start(file: Path) -> bytes:
    try:
        with file.open("rb") as log:
            return log.read(10)
    except OSError as error:
        raise _named(error, file) from None


def _unpacked(file: Path) -> BinaryIO:
    start = _start(file)
    if start.startswith(_GZIP):
        return io.BufferedReader(_Packed(file, _GZIP, _Gunzip), AT_ONCE)
    if start.startswith(_XZ):
        return io.BufferedReader(_Packed(file, _XZ, _unxz), AT_ONCE)
    if _BZIP2.match(start):
        return cast("BinaryIO", bz2.open(file))
    return file.open("rb")


class _Gunzip:
    """zlib's decompressor, used as lzma's."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, most)


def _unxz() -> lzma.LZMADecompressor:
    """Make a decompressor with a bound of memory, which `lzma.open` lacks."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY)


class _Packed(io.RawIOBase):
    """The content of a packed file's members; what follows the last one is left out."""

    def __init__(
        self, file: Path, magic: bytes, unpack: Callable[[], _Gunzip | lzma.LZMADecompressor]
    ) -> None:
        self._file, self._magic, self._unpack = file.open("rb"), magic, unpack
        self._stream = unpack()

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        data = b""
        while not data:
            packed = b""
            if self._stream.eof:
                packed = self._next_member(self._stream.unused_data)
                if not packed.startswith(self._magic):
                    return 0
                self._stream = self._unpack()
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

    def _next_member(self, packed: bytes) -> bytes:
        """Return what follows a member, without the zeros before it."""
        packed = packed.lstrip(b"\0")
        while len(packed) < len(self._magic) and (more := self._file.read(AT_ONCE)):
            packed = (packed + more).lstrip(b"\0")
        return packed
