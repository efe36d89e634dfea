"""The cache folder, which all clones share, for what takes long to make."""

from pathlib import Path

from platformdirs import user_cache_path


def cache_folder(kind: str) -> Path:
    """Return the folder for one kind of thing, and make it if it is missing.

    On Linux it is below `$XDG_CACHE_HOME`, or `~/.cache`. Hold a `filelock.FileLock` in it while
    something is made there, so that two processes do not make it twice.
    """
    folder = user_cache_path("stream-deadline", appauthor=False) / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder
