"""The outputs of a run, in a folder or anywhere else that fsspec writes to.

Each file appears whole or not at all.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from stream_lab.errors import NO_ROOM, LabError
from stream_lab.http.address import quotable
from stream_lab.notebooks.folder import write_whole
from stream_lab.redact import spellings_of, without
from stream_lab.regular_file import read_regular
from stream_lab.untrusted import one_line, printable

LARGEST = 64 * 2**20  # bytes of a file that is read
HINT = "name another place with --out"


class StoreError(LabError):
    """Raised when outputs cannot be read or written; the text says what to do."""


class Store:
    """The outputs of one run, by name, as "cells/bundled/latest/04.json".

    The store is opened by its first use, where each method raises `StoreError` if fsspec does not
    reach it. So a dry run, which needs no store, asks no server.

    Attributes:
        shown: Its address for people, without a password or a query.
    """

    def __init__(self, address: str) -> None:
        """Name the store.

        Args:
            address: Any fsspec URL, or the path of a folder.

        Raises:
            StoreError: fsspec does not know this kind of address, or lacks the package for it.
        """
        self._given = address
        self.address = address.rstrip("/")
        # A local path may have an @ or a question mark of its own.
        is_local = "://" not in address and "::" not in address
        self.shown = printable(self.address if is_local else quotable(self.address), keep="")
        self._secrets = [] if is_local else spellings_of(_secrets_of(address))
        try:
            for link in address.split("::"):  # a cache, say, in front of what follows
                fsspec.get_filesystem_class(fsspec.utils.get_protocol(link))
        except (ValueError, ImportError) as error:
            raise self._refused(error) from None

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            files, root = fsspec.core.url_to_fs(self._given)
        except Exception as error:  # each kind of filesystem has errors of its own
            raise self._refused(error) from None
        return files, root

    def _refused(self, error: Exception) -> StoreError:
        return StoreError(f"Outputs cannot go to {self.shown}: {self._words(error)}")

    def _words(self, error: Exception) -> str:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return without(one_line(said), self._secrets)

    @contextmanager
    def _reading(self, name: str = "") -> Iterator[None]:
        """Make one sentence of each error but that of a missing file."""
        try:
            yield
        except (StoreError, FileNotFoundError, NotADirectoryError):
            raise
        except Exception as error:  # each kind of filesystem has errors of its own
            raise StoreError(f"{self.shown}{name} cannot be read: {self._words(error)}.") from None

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    @property
    def _local(self) -> bool:
        return "file" in self._files.protocol

    def run(self, name: str) -> "Store":
        """Return the outputs of a run below this address."""
        run = Store(f"{self.address}/{name}")
        run._secrets += self._secrets  # where the name has become a part of the query
        return run

    def runs(self) -> list[str]:
        """Return the names of the runs below this address, oldest first."""
        try:
            with self._reading():
                self._files.invalidate_cache()
                found = [Path(place).name for place in self._files.ls(self._root, detail=False)]
                return sorted(
                    name for name in found if self._files.exists(f"{self._root}/{name}/run.json")
                )
        except (FileNotFoundError, NotADirectoryError):
            return []

    def write(self, name: str, body: str | bytes) -> None:
        """Write a file, or replace it.

        Raises:
            StoreError: There is no room, or no permission.
        """
        data = body.encode() if isinstance(body, str) else body
        try:
            place = f"{self._root}/{name}"
            if not self._local:
                self._files.pipe_file(place, data)  # an object is there when it is whole
                return
            write_whole(Path(place), data)
        except StoreError:
            raise
        except Exception as error:  # each kind of filesystem has errors of its own
            hint = "make room there" if getattr(error, "errno", None) in NO_ROOM else HINT
            raise StoreError(
                f"{self.shown} cannot be written to: {self._words(error)}; {hint}, then go on with "
                "--resume."
            ) from None

    def write_json(self, name: str, body: Any) -> None:
        """Write data as JSON."""
        self.write(name, json.dumps(body, indent=1, ensure_ascii=False) + "\n")

    def read(self, name: str) -> str | None:
        """Return a file's text; None if there is no such file.

        Raises:
            StoreError: It cannot be read, is not UTF-8, or has more than 64 MiB.
        """
        try:
            with self._reading(f"/{name}"):
                data = self._data(f"{self._root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise StoreError(f"{self.shown}/{name} cannot be read: it is not UTF-8.") from None

    def _data(self, place: str) -> bytes:
        if self._local:  # where it may be a pipe
            return read_regular(Path(place), LARGEST)
        data: bytes = self._files.cat_file(place, end=LARGEST + 1)
        if len(data) > LARGEST:
            raise OSError(f"it is larger than {LARGEST // 2**20} MiB")
        return data

    def names(self, folder: str) -> list[str]:
        """Return the names of the files below a folder."""
        try:
            with self._reading():
                self._files.invalidate_cache()
                found = self._files.find(f"{self._root}/{folder}")
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [
            place.removeprefix(self._root).lstrip("/")
            for place in found
            if not Path(place).name.startswith(".")
        ]

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep a second process from working on the same run.

        Object stores have no locks; there the caller must see to it.

        Raises:
            StoreError: Another process works on it.
        """
        if not self._local:
            yield
            return
        folder = Path(self._root)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = (folder / ".lock").open("w")
        except OSError as error:
            raise StoreError(
                f"{self.shown} cannot be written to: {error.strerror}; {HINT}."
            ) from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StoreError(
                    f"{self.shown} is being worked on by another process; wait for it, or start "
                    "a new run."
                ) from None
            yield


def _secrets_of(address: str) -> set[str]:
    """Return what an address may have of secrets: its user, password and query."""
    place, _, query = address.partition("://")[2].partition("?")
    user = place.rpartition("@")[0]
    values = (part.partition("=")[2] for part in re.split("[&#]", query))
    return {user, *re.split("[/:]", user), query, *values}


def new_name(when: str) -> str:
    """Return a name for a run that no other has, and that sorts by time."""
    return f"{when}-{os.urandom(2).hex()}"
