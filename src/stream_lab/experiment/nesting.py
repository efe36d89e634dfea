"""nest-asyncio, or its successor, whichever is installed and works with this Python."""

import asyncio
import importlib
import importlib.metadata
import sys
from collections.abc import Mapping

from stream_lab.errors import LabError

FORMER, SUCCESSOR = "nest-asyncio", "nest-asyncio2"
# From here on `asyncio.current_task()` knows nothing of tasks that are written in Python, which is what nest-asyncio makes of them all.
TOO_NEW = (3, 14)


class NestingError(LabError):
    """Raised when no package here can nest event loops; the text says what to do."""


def choose(python: tuple[int, int], installed: Mapping[str, str]) -> str:
    """Choose the package to nest with.

    It is nest-asyncio or, where that is missing or too old for this Python, its successor.

    Args:
        python: the version of Python, as (3, 11).
        installed: package to version; others than these two do not matter.

    Raises:
        NestingError: neither will do.
    """
    if FORMER in installed and python < TOO_NEW:
        return FORMER
    if SUCCESSOR in installed:
        return SUCCESSOR
    if FORMER in installed:
        raise NestingError(
            f"{FORMER} {installed[FORMER]} is no longer maintained and breaks asyncio.timeout on Python {python[0]}.{python[1]}; "
            f"install {SUCCESSOR}, which ipykernel itself uses."
        )
    raise NestingError(f"Nothing is installed that nests event loops; install {SUCCESSOR}.")


def apply(loop: asyncio.AbstractEventLoop | None = None) -> str:
    """Patch asyncio for good, so that `asyncio.run` works inside a running loop.

    `loop`: the loop to patch; None: the running one. Returns the name of the package that did it.

    Raises:
        NestingError: no package that is installed will do; nothing has been changed then.
        ValueError: the loop is not one of asyncio's own, as uvloop's are not.
    """
    package = choose(sys.version_info[:2], installed())
    importlib.import_module(package.replace("-", "_")).apply(loop)
    return package


def installed() -> dict[str, str]:
    """Return the versions of those of the two packages that are here."""
    found = {}
    for package in (FORMER, SUCCESSOR):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
