"""The key of the program that started the server."""

import os
from typing import Final

STARTER_KEY: Final = "FAKE_VLLM_STARTER_KEY"
"""The variable with the key of the program that started the server, such as `FakeVllm`.

It opens the fake's own routes on any server. With it they may name any file, as the flags may.
"""


def starter_key() -> str | None:
    """Return the key of the program that started this process. None: it gave none."""
    return os.environ.get(STARTER_KEY) or None
