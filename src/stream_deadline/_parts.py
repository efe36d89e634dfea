"""Cut a piece into parts, between which a call looks at the clock."""

from collections.abc import Iterable


def parts_of(data: bytes, most: int) -> Iterable[bytes]:
    """Return data in parts of `most` bytes, or whole if it is shorter."""
    if len(data) <= most:
        return (data,)
    return (data[start : start + most] for start in range(0, len(data), most))
