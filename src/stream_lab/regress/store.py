"""The outputs of a run, in a folder or anywhere else that fsspec writes to.

Each file appears whole or not at all.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from stream_lab.errors import NO_ROOM, LabError
from stream_lab.notebooks.folder import write_whole
from stream_lab.untrusted import one_line


class StoreError(LabError):
    """Raised when outputs cannot be read or written; the text says what to do."""


class Store:
    """The outputs of one run, by name, as "cells/bundled/latest/04.json".

    The store is opened by its first use, where each method raises `StoreError` if fsspec does not
    reach it. So a dry run, which needs no store, asks no server.
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
        return StoreError(f"Outputs cannot go to {one_line(self.address)}: {one_line(error)}")

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
        return Store(f"{self.address}/{name}")

    def runs(self) -> list[str]:
        """Return the names of the runs below this address, oldest first."""
        try:
            self._files.invalidate_cache()
            found = [Path(place).name for place in self._files.ls(self._root, detail=False)]
            return sorted(
                name for name in found if self._files.exists(f"{self._root}/{name}/run.json")
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from None

    def write(self, name: str, body: str | bytes) -> None:
        """Write a file, or replace it.

        Raises:
            StoreError: There is no room, or no permission.
        """
        place = f"{self._root}/{name}"
        data = body.encode() if isinstance(body, str) else body
        try:
            if not self._local:
                self._files.pipe_file(place, data)  # an object is there when it is whole
                return
            write_whole(Path(place), data)
        except OSError as error:
            hint = "make room there" if error.errno in NO_ROOM else "name another place with --out"
            raise StoreError(
                f"{self.address} cannot be written to: {error.strerror or error}; {hint}, then go "
                "on with --resume."
            ) from None

    def write_json(self, name: str, body: Any) -> None:
        """Write data as JSON."""
        self.write(name, json.dumps(body, indent=1, ensure_ascii=False) + "\n")

    def read(self, name: str) -> str | None:
        """Return a file's text; None if there is no such file."""
        try:
            text: str = self._files.cat_file(f"{self._root}/{name}").decode()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(error, f"/{name}") from None
        return text

    def names(self, folder: str) -> list[str]:
        """Return the names of the files below a folder."""
        try:
            self._files.invalidate_cache()
            found = self._files.find(f"{self._root}/{folder}")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from None
        return [
            place.removeprefix(self._root).lstrip("/")
            for place in found
            if not Path(place).name.startswith(".")
        ]

    def _unreadable(self, error: OSError, name: str = "") -> StoreError:
        return StoreError(
            f"{self.address}{name} cannot be read: {one_line(error.strerror or error)}."
        )

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
                f"{self.address} cannot be written to: {error.strerror}; name another place with "
                "--out."
            ) from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StoreError(
                    f"{self.address} is being worked on by another process; wait for it, or start "
                    "a new run."
                ) from None
            yield


def new_name(when: str) -> str:
    """Return a name for a run that no other has, and that sorts by time."""
    return f"{when}-{os.urandom(2).hex()}"
