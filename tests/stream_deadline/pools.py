"""A pool of connections without a network."""

from types import SimpleNamespace
from typing import Any


class _Pool(SimpleNamespace):
    """A namespace that weak references can name."""


def a_pool(**more: Any) -> Any:
    """A pool, as far as it is looked at."""
    return _Pool(_network_backend=object(), connections=[], **more)
