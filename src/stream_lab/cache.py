"""Where what takes long to make is kept between runs, shared by all clones; and how two processes keep out of each other's way there."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder of one kind of thing, made if need be."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stream-deadline" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold a lock that other processes, and other threads, wait for. It ends with the process, however that ends."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
