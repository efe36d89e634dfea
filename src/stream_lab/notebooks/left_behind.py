"""Processes that a notebook has started: found, named, and ended with it.

On Linux, a process whose parent has ended goes to the nearest ancestor that adopts orphans. The
process that executes notebooks does so (`adopt_orphans`), so all that a notebook starts stays below
it, also after `setsid` and a double fork, and nothing else is ever there. Other systems have no
such call; there, only the processes whose parents still run are found.
"""

import ctypes
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
ENDS_BY_ITSELF = 2.0
"""Seconds for processes that end with their kernel, as the bundled fake does."""
HEEDS_SIGTERM = 2.0
"""Seconds after which a process that ignores SIGTERM gets SIGKILL."""
LOOKS_EVERY = 0.05
ROUNDS = 5
"""How often to look for processes that those which were ended have started meanwhile."""
LONGEST = 120
"""The most letters of a command line in a report."""
HELPERS = ("ipykernel", "multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Parts of command lines of a kernel and of Python's own helpers, which end with it."""

_adopting = False


def adopt_orphans() -> None:
    """Let this process become the parent of its descendants whose own parent ends."""
    global _adopting
    if sys.platform == "linux":
        _adopting = ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def reap_adopted(kernel: int | None) -> None:
    """Remove the entries of adopted processes that have ended, as init would.

    Without that, a program that waits until a process id is free would wait for ever.

    Args:
        kernel: The id of the one child that this process has started, whose status Jupyter reads.
    """
    while _adopting:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == kernel:
            return
        with suppress(ChildProcessError):
            os.waitpid(ended.si_pid, os.WNOHANG)


def ended_by_the_kernel(kernel: int) -> list[str]:
    """Return the command lines of processes that a kernel itself will end.

    A kernel of ipykernel ends its children that share its process group.
    """
    with suppress(psutil.NoSuchProcess):
        return [
            words
            for child in psutil.Process(kernel).children(recursive=True)
            if (words := _words(child)) and _group(child) == kernel
        ]
    return []


def end_descendants(ancestor: psutil.Process, patience: float = 0.0) -> list[str]:
    """End every process below one, and return the command lines of those that still ran.

    Args:
        ancestor: The process, which adopts orphans and stays.
        patience: Seconds for the processes to end by themselves.
    """
    until = time.monotonic() + patience
    told: list[str] = []
    living = _living(ancestor)
    while living and time.monotonic() < until:
        time.sleep(LOOKS_EVERY)
        living = _living(ancestor)
    for _ in range(ROUNDS):
        if not living:
            break
        told += filter(None, map(_words, living))
        _end(living)
        living = _living(ancestor)
    return told


def end_below(pid: int) -> list[str]:
    """End all that is below a process that adopts orphans; leave it stopped.

    Returns:
        The command lines of what it had started.
    """
    try:
        ancestor = psutil.Process(pid)
        ancestor.suspend()  # so that it starts nothing more, and says nothing about what ends
    except psutil.NoSuchProcess:
        return []
    return end_descendants(ancestor)


def _living(ancestor: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [child for child in ancestor.children(recursive=True) if _lives(child)]
    return []


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _end(processes: Iterable[psutil.Process]) -> None:
    """Ask processes to end, and kill those that do not."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
            process.resume()
    until = time.monotonic() + HEEDS_SIGTERM
    while (left := [each for each in processes if _lives(each)]) and time.monotonic() < until:
        time.sleep(LOOKS_EVERY)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    until = time.monotonic() + HEEDS_SIGTERM
    while any(map(_lives, left)) and time.monotonic() < until:
        time.sleep(LOOKS_EVERY)


def _words(process: psutil.Process) -> str:
    """Return a process's command line; empty for a kernel and for Python's own helpers."""
    try:
        words = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return ""
    words = " ".join(words.split())
    return "" if any(helper in words for helper in HELPERS) else words[:LONGEST]


def _group(process: psutil.Process) -> int | None:
    with suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return None
