"""How long a thread keeps the interpreter while others want it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def turns_of(seconds: float) -> Iterator[float]:
    """Let threads take turns of N seconds in a `with` block; yield the time before."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield before
    finally:
        sys.setswitchinterval(before)
