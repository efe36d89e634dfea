"""Where things that take long to make are kept between runs, for all clones; and a lock, so that two processes make none twice."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return the folder of one kind of thing, made if need be."""
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stream-deadline" / kind
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold a lock across processes and threads.

    It ends with the process, however that ends.
    """
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
