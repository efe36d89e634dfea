"""The optional parts of the kit: which distribution has them, and one sentence where one is missing."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from stream_lab.errors import LabError

# The laboratory is installed either by itself or as an extra of the library.
DISTRIBUTIONS = ("stream-lab", "stream-deadline")


class MissingExtra(LabError):
    """Raised when an optional part of the kit is not installed; the text says how to install it."""


def installed() -> tuple[str, str]:
    """Return the distribution that this package came with, and its version."""
    for name in DISTRIBUTIONS:
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    return DISTRIBUTIONS[0], "unknown"


def require(*modules: str, extra: str) -> None:
    """Check that optional modules are installed, without importing them.

    Args:
        modules: the top-level names that are about to be imported.
        extra: the extra of the distribution that brings them.

    Raises:
        MissingExtra: one of them is missing.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(
                f"{module} is not installed; pip install '{installed()[0]}[{extra}]'."
            )
