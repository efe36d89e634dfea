"""An interpreter that starts no threads."""

import threading


def cannot_start(thread: threading.Thread) -> None:
    """Fail as Python does when it starts no threads."""
    raise RuntimeError("can't start new thread")
