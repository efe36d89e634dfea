"""The optional parts of the kit, and one sentence where one is missing."""

import re
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

from stream_lab.errors import LabError


class MissingExtra(LabError):
    """Raised when an optional package is missing; the text says how to install it."""


def missing_extra(error: ModuleNotFoundError) -> MissingExtra | None:
    """Return the error for a failed import; None: no extra brings the module.

    A missing part of a package is another matter: the package itself is installed.
    """
    module = error.name or ""
    by_extra: dict[str, list[str]] = {}
    try:
        stated = requires("stream-lab") or []
    except PackageNotFoundError:
        return None
    for requirement in stated:
        name, _, condition = requirement.partition(";")
        for extra in re.findall(r"extra == ['\"](\w+)['\"]", condition):
            by_extra.setdefault(extra, []).append(re.split(r"[^\w-]", name)[0].replace("-", "_"))
    # An extra may contain another; the smaller one is enough.
    fitting = [extra for extra, modules in by_extra.items() if module in modules]
    if not fitting:
        return None
    return MissingExtra(sentence(module, min(fitting, key=lambda extra: len(by_extra[extra]))))


def require(*modules: str, extra: str) -> None:
    """Check that optional packages are installed, without importing them.

    Args:
        modules: the top-level names that are about to be imported.
        extra: the extra of stream-lab that brings them.

    Raises:
        MissingExtra: a package is missing.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(sentence(module, extra))


def sentence(module: str, extra: str) -> str:
    """Say that a package is missing, and how to install it."""
    return f"{module} is not installed; pip install 'stream-lab[{extra}]'."
