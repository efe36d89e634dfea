"""The extras of the distribution, and an error that names the extra to install."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from stream_lab.errors import LabError

# The laboratory is a distribution of its own, or an extra of the library.
DISTRIBUTIONS = ("stream-lab", "stream-deadline")


class MissingExtra(LabError):
    """Raised when an optional package is missing; the text says how to install it."""


def installed() -> tuple[str, str]:
    """Return the distribution that this package came with, and its version."""
    for name in DISTRIBUTIONS:
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    return DISTRIBUTIONS[0], "unknown"


def require(*modules: str, extra: str) -> None:
    """Check that optional packages are installed, without importing them.

    Args:
        modules: the names to import.
        extra: the extra of the distribution that installs them.

    Raises:
        MissingExtra: a package is missing.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(
                f"{module} is not installed; pip install '{installed()[0]}[{extra}]'."
            )
