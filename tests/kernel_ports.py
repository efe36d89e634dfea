"""Start a notebook's kernel again if another program took one of its ports.

Jupyter looks for five free ports, lets go of them, and starts the kernel, which binds them a second
later. Until then each new connection of a test may get one of them for its own end, and the kernel
dies with "Address already in use".
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import nbval.kernel
import pytest

STARTS = 3


def pytest_configure(config: pytest.Config) -> None:
    restore = nbval.kernel.start_new_kernel
    nbval.kernel.start_new_kernel = again(restore)
    config.add_cleanup(lambda: setattr(nbval.kernel, "start_new_kernel", restore))


def again(start: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that starts a kernel, a few times if it dies at once."""

    @wraps(start)
    def started(*args: Any, **more: Any) -> Any:
        for _ in range(STARTS - 1):
            try:
                return start(*args, **more)
            except RuntimeError as error:
                if "Kernel died" not in str(error):
                    raise
        return start(*args, **more)

    return started
