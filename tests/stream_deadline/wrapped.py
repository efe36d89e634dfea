"""What users and their tracing put around a resource of the SDK."""

from typing import Any


class Wrapped:
    """A resource that is not the SDK's, as some tracing puts in its place."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
