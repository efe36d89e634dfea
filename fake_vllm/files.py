"""The files that a scenario may read: any, or those in allowed folders."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

LARGEST: Final = 16 * 2**20
"""The bytes of the largest file that a request may name. The event loop waits while it is read."""


class FileRefusedError(Exception):
    """Raised when a request may not read a file, whether it exists or not."""

    def __init__(self) -> None:
        super().__init__(
            "a request may not name this file; start the server with the scenario, or allow the "
            "file's folder with --files"
        )


class Files(Protocol):
    """The files that a scenario may read."""

    def read(self, file: Path) -> bytes:
        """Return the content of a file.

        Raises:
            FileRefusedError: it may not be read.
            OSError: it cannot be read.
        """


class AnyFile:
    """All files: the starter of the server names them."""

    def read(self, file: Path) -> bytes:
        return file.read_bytes()


class FilesIn:
    """The files in some folders: a request names them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Allow the folders. Empty: no file."""
        self._folders = [Path(os.path.abspath(folder)) for folder in folders]

    def read(self, file: Path) -> bytes:
        # The name is checked before the disk is asked, and links are followed only below an allowed
        # folder. Otherwise the answers, or their times, would show which other files exist.
        named = Path.cwd() / file
        if ".." in file.parts or not any(named.is_relative_to(each) for each in self._folders):
            raise FileRefusedError
        try:
            real = Path(os.path.realpath(named))
            folders = [Path(os.path.realpath(each)) for each in self._folders]
        except ValueError:  # a null byte, or half a surrogate pair
            raise FileRefusedError from None
        if not any(real.is_relative_to(each) for each in folders):
            raise FileRefusedError
        return _regular(real)


ANY_FILE: Final = AnyFile()


def _regular(file: Path) -> bytes:
    """Return the content of a regular file.

    A pipe or a device could keep the server waiting for ever.

    Raises:
        OSError: it cannot be read, is not a regular file, or is too large.
    """
    # O_NONBLOCK, since opening a pipe waits for a writer.
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(number, "rb") as opened:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is not a regular file")
        if found.st_size > LARGEST:
            raise OSError(0, f"it is larger than {LARGEST // 2**20} MiB")
        return opened.read(LARGEST)
