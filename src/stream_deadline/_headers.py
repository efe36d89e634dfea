"""Pass the deadline on to another service, as the milliseconds that are left."""

from typing import Any, Final

from stream_deadline._deadline import NEVER, remaining

HEADER: Final = "X-Timeout-Ms"
"""How many milliseconds the client will wait from now on.

It is a duration and not a time of day, so that the clocks of two machines need not agree.
"""


def deadline_headers(header: str = HEADER) -> dict[str, str]:
    """Return what is left of the ambient `deadline`, as a header.

        with deadline(30):
            httpx.get(url, headers=deadline_headers())

    Args:
        header: the name of the header.

    Returns:
        One header in whole milliseconds, zero if the deadline has passed; {} without a deadline.
    """
    left = remaining()
    return {} if left == NEVER else {header: str(max(0, int(left * 1000)))}


def propagate_deadline(request: Any) -> None:
    """Put `deadline_headers` on a request, as an event hook of httpx.

    client = httpx.Client(event_hooks={"request": [propagate_deadline]})
    """
    request.headers.update(deadline_headers())


async def propagate_deadline_async(request: Any) -> None:
    """Put `deadline_headers` on a request, as an event hook of an `AsyncClient`."""
    propagate_deadline(request)
