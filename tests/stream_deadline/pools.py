"""A pool of connections without a network."""

from types import SimpleNamespace
from typing import Any


def a_pool(**more: Any) -> Any:
    """A pool, as far as it is looked at."""
    return SimpleNamespace(_network_backend=object(), connections=[], **more)
