"""The cache of things that take long to make, with a lock."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return the folder for one kind of thing, and create it if necessary."""
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stream-deadline" / kind
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold a lock across processes and threads, which is also released when the process dies."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
