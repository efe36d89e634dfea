"""Pass the deadline on to another service, as the time that is left."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from stream_deadline._deadline import NEVER, remaining

HEADER: Final = "X-Timeout-Ms"
"""How many milliseconds the client will wait from now on.

It is a duration and not a time of day, so that the clocks of two machines need not agree.
"""
_MOST: Final = 99_999_999
"""The largest number that is written; `grpc-timeout` and `X-Timeout-Ms` have at most 8 digits."""


@dataclass(frozen=True)
class Format:
    """How a header expresses the time that is left.

    Attributes:
        rule: what a value must be, for messages.
        pattern: a regular expression with two groups, the number and its unit.
        units: the seconds of each unit, the finest first.
        least: the smallest number that is written.
        zero_is_unbounded: whether zero means that there is no bound.
    """

    rule: str
    pattern: str
    units: Mapping[str, Fraction]
    least: int = 0
    zero_is_unbounded: bool = False

    def write(self, left: float) -> str:
        """Return the value for `left` seconds, rounded down to the finest unit that fits.

        Args:
            left: finite; zero or less becomes `least`.
        """
        exact = Fraction(left)  # a product of floats may be rounded up
        for unit, length in self.units.items():
            number = exact // length
            if number <= _MOST:
                return f"{max(number, self.least)}{unit}"
        return f"{_MOST}{unit}"

    def read(self, value: str) -> float | None:
        """Return the seconds of a value, zero or more; None: no bound.

        Raises:
            ValueError: the value is not valid.
        """
        match = re.fullmatch(self.pattern, value)
        if match is None:
            raise ValueError(f"not {self.rule}")
        number = max(0, int(match[1]))
        return (
            None if not number and self.zero_is_unbounded else float(number * self.units[match[2]])
        )


_MILLISECONDS: Final = Format(
    rule="one whole number of milliseconds, of at most 8 digits",
    pattern="(-?[0-9]{1,8})()",
    units={"": Fraction(1, 1000)},
)
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a positive integer of at most 8
# digits, and a unit. So a deadline that has passed is 1n, as in gRPC's C core. Go sends 0n.
_GRPC: Final = Format(
    rule="one whole number of at most 8 digits, and its unit, one of H, M, S, m, u and n",
    pattern="([0-9]{1,8})([HMSmun])",
    units={
        "n": Fraction(1, 1_000_000_000),
        "u": Fraction(1, 1_000_000),
        "m": Fraction(1, 1000),
        "S": Fraction(1),
        "M": Fraction(60),
        "H": Fraction(3600),
    },
    least=1,
)
# https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter. Zero is
# an infinite time-out there, so Envoy itself sends 1 when the time is up
# (`FilterUtility::setTimeoutHeaders` in source/common/router/router.cc).
_ENVOY: Final = Format(
    rule="one whole number of milliseconds",
    pattern="([0-9]{1,19})()",
    units={"": Fraction(1, 1000)},
    least=1,
    zero_is_unbounded=True,
)
FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        HEADER.lower(): _MILLISECONDS,
        "grpc-timeout": _GRPC,
        "x-envoy-upstream-rq-timeout-ms": _ENVOY,  # a client sends it to an Envoy
        "x-envoy-expected-rq-timeout-ms": _ENVOY,  # an Envoy sends it to the upstream
    }
)
"""The headers whose format is known, in lower case. Any other has milliseconds, as `HEADER` has."""


def deadline_headers(header: str = HEADER) -> dict[str, str]:
    """Return what is left of the ambient `deadline`, as a header.

        with deadline(30):
            httpx.get(url, headers=deadline_headers())

    Args:
        header: the name of the header, which decides on the format:

            - `X-Timeout-Ms`, or a name of your own: whole milliseconds, zero if the deadline has
              passed.
            - `grpc-timeout`: gRPC's format, such as `250m`. A gRPC library sends it by itself.
              This is for a client that is not one
              (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
            - `x-envoy-upstream-rq-timeout-ms`: for an Envoy on the way, which ends the request
              then, and sends the upstream `x-envoy-expected-rq-timeout-ms`. Both are whole
              milliseconds (Envoy's documentation of its router filter).

    Returns:
        One header, {} without a deadline. The time is rounded down, and is 99,999,999 units at
        most. If the deadline has passed, the last two formats have their smallest number, 1:
        gRPC's specification does not allow zero, and Envoy takes zero for no bound.
    """
    left = remaining()
    format = FORMATS.get(header.lower(), _MILLISECONDS)
    return {} if left == NEVER else {header: format.write(left)}


def propagate_deadline(request: Any, header: str = HEADER) -> None:
    """Put `deadline_headers` on a request, as an event hook of httpx.

        client = httpx.Client(event_hooks={"request": [propagate_deadline]})

        hook = functools.partial(propagate_deadline, header="grpc-timeout")
        client = httpx.Client(event_hooks={"request": [hook]})

    Args:
        request: the request.
        header: as in `deadline_headers`.
    """
    request.headers.update(deadline_headers(header))


async def propagate_deadline_async(request: Any, header: str = HEADER) -> None:
    """Put `deadline_headers` on a request, as an event hook of an `AsyncClient`.

    Args:
        request: the request.
        header: as in `deadline_headers`.
    """
    propagate_deadline(request, header)


def formats_for(own: str) -> dict[bytes, tuple[str, Format]]:
    """Return the headers to read, by their names in lower case, with name and format.

    Args:
        own: the name that takes the place of `HEADER`.
    """
    names = [own, *(name for name in FORMATS if name not in (own.lower(), HEADER.lower()))]
    return {
        name.lower().encode("latin-1"): (name, FORMATS.get(name.lower(), _MILLISECONDS))
        for name in names
    }


def read_headers(
    headers: Iterable[tuple[bytes, bytes]], formats: Mapping[bytes, tuple[str, Format]]
) -> tuple[tuple[float, str] | None, list[tuple[str, str, str]]]:
    """Return the shortest time with the name of its header, and what cannot be read.

    Args:
        headers: of a request.
        formats: of `formats_for`.

    Returns:
        The seconds and the name; None: no header has a bound. Then the headers that are not valid:
        for each its name, the rule, and the values that came.
    """
    values: dict[bytes, list[str]] = {}
    for raw, value in headers:
        if (known := raw.lower()) in formats:
            values.setdefault(known, []).append(value.decode("latin-1").strip(" \t"))
    times: list[tuple[float, str]] = []
    invalid: list[tuple[str, str, str]] = []
    for known, said in values.items():
        name, format = formats[known]
        joined = ", ".join(said)  # no format allows a comma
        try:
            time = format.read(joined)
        except ValueError:
            invalid.append((name, format.rule, joined))
        else:
            times += [] if time is None else [(time, name)]
    return min(times, default=None), invalid
