"""Event loops inside event loops, with nest-asyncio or its successor, whichever works here."""

import asyncio
import importlib
import importlib.metadata
import sys
from collections.abc import Mapping

from stream_lab.errors import LabError

FORMER, SUCCESSOR = "nest-asyncio", "nest-asyncio2"
# From this version on, `asyncio.current_task()` does not know tasks written in Python, and
# nest-asyncio makes all tasks such tasks.
TOO_NEW = (3, 14)


class NestingError(LabError):
    """Raised when no package here can nest event loops; the text says what to do."""


def choose(python: tuple[int, int], installed: Mapping[str, str]) -> str:
    """Choose the package to nest with: nest-asyncio, or its successor.

    The successor is chosen where nest-asyncio is missing, or too old for this Python.

    Args:
        python: the version of Python, as (3, 11).
        installed: versions by package; packages other than these two do not matter.

    Raises:
        NestingError: neither package works here.
    """
    if FORMER in installed and python < TOO_NEW:
        return FORMER
    if SUCCESSOR in installed:
        return SUCCESSOR
    if FORMER in installed:
        raise NestingError(
            f"{FORMER} {installed[FORMER]} is no longer maintained and breaks asyncio.timeout on "
            f"Python {python[0]}.{python[1]}; "
            f"install {SUCCESSOR}, which ipykernel itself uses."
        )
    raise NestingError(f"No package that nests event loops is installed; install {SUCCESSOR}.")


def apply(loop: asyncio.AbstractEventLoop | None = None) -> str:
    """Patch asyncio for good, so that `asyncio.run` works inside a running loop.

    Args:
        loop: the loop to patch. None: the running one.

    Returns:
        The name of the package that made the patch.

    Raises:
        NestingError: no installed package works here; nothing has been changed.
        ValueError: the loop is not one of asyncio's own; uvloop's are not.
    """
    package = choose(sys.version_info[:2], installed())
    importlib.import_module(package.replace("-", "_")).apply(loop)
    return package


def installed() -> dict[str, str]:
    """Return the installed versions of the two packages."""
    found = {}
    for package in (FORMER, SUCCESSOR):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
