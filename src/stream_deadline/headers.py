"""The budget on its way to another service: milliseconds that are left, in a header."""

from typing import Any, Final

from stream_deadline.budget import NEVER, remaining

HEADER: Final = "X-Timeout-Ms"
"""How many milliseconds the caller will wait from now on. A duration and not a time of day, so that clocks need not agree."""


def deadline_headers(header: str = HEADER) -> dict[str, str]:
    """What is left of the ambient `deadline`, as a header; {} if there is none. Zero if it has passed.

    with deadline(30):
        httpx.get(url, headers=deadline_headers())
    """
    left = remaining()
    return {} if left == NEVER else {header: str(max(0, int(left * 1000)))}


def pass_deadline_on(request: Any) -> None:
    """An httpx event hook that puts `deadline_headers` on each request: `Client(event_hooks={"request": [pass_deadline_on]})`."""
    request.headers.update(deadline_headers())


async def apass_deadline_on(request: Any) -> None:
    """The same for an `AsyncClient`."""
    pass_deadline_on(request)
