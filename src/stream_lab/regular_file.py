"""Files to read that must be neither endless nor a pipe."""

import os
import stat
from pathlib import Path


class NotRegular(OSError):
    """A file is a pipe, a device or too large."""


def read_regular(file: Path, largest: int) -> bytes:
    """Return the content of a regular file.

    Args:
        file: the file.
        largest: the most bytes that it may have.

    Raises:
        NotRegular: it is a pipe, a device or a folder, or is larger.
        OSError: it cannot be read.
        ValueError: no file can have this name.
    """
    # O_NONBLOCK, since opening a pipe waits for a writer.
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        os.close(number)
        raise NotRegular("it is not a regular file")
    with open(number, "rb") as opened:
        data = opened.read(largest + 1) if found.st_size <= largest else b""
    if found.st_size > largest or len(data) > largest:
        raise NotRegular(f"it is larger than {largest // 2**20} MiB")
    return data
