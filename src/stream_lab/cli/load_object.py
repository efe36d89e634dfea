"""Load an object that the command line names, as module:attribute."""

import importlib
from typing import Any

from stream_lab.errors import LabError


class LoadError(LabError):
    """Raised when a named object cannot be loaded; the text says why."""


def load(name: str, *, example: str) -> Any:
    """Load the object that is written as module:attribute.

    Args:
        name: The name on the command line.
        example: How it should look, for the error.

    Raises:
        LoadError: The name has another form, or its module cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise LoadError(f"'{name}' should look like {example}.")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a reader's own module may raise anything when it is imported
        raise LoadError(f"Cannot load '{name}': {type(error).__name__}: {error}.") from None
