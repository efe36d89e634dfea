"""Budgets in any spelling: headers of a request, and the bounds of calls."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

import pytest
from hypothesis import strategies as st
from hypothesis import target

from stream_deadline import ChatVllm, StreamDeadlineExceeded, bounded, bounded_sync, deadline
from stream_deadline import _budget as budget
from stream_deadline import _headers as deadline_headers
from stream_deadline._deadline import remaining
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware
from tests.fuzz.mutations import ODD
from tests.fuzz.target import Target
from tests.stream_deadline.asgi_caller import Caller

DEFAULT, MOST = 7.0, 60.0
NAMES = [
    b"x-timeout-ms", b"X-Timeout-MS", b"grpc-timeout", b"x-envoy-expected-rq-timeout-ms",
    b"x-envoy-upstream-rq-timeout-ms", b"content-length", b"content-type", b"host", b"", b"\xff",
]  # fmt: skip
SPELLED = [
    b"2500", b"0", b"-0", b"-1", b"00002500", b"99999999", b"999999999", b"9" * 5000, b"1e3", b"2.5", b"2,500", b"2500, 7", b" 2500\t", b"2500\n",
    b"+5", b"0x5", b"1_000", b"\xd9\xa1", b"\xb2", b"nan", b"inf", b"-inf", b"", b"5S", b"5s", b"5 S", b"99999999H", b"0n", b"1n", b"00000001u",
    b"5SS", b"\x00", b"\xff", b"5\x00", b"infinite", b"1" * 19, b"1" * 20,
]  # fmt: skip
SAID = (
    st.sampled_from(SPELLED)
    | st.binary(max_size=5)
    | st.from_regex(rb"\A-?[0-9]{0,22}[HMSmunx]?\Z")
)
Sent = list[tuple[bytes, bytes]]


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    left = remaining()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(left).encode()})


@contextmanager
def runner() -> Iterator[asyncio.Runner]:
    """A loop; the middleware's log has a line for each refusal, and is off."""
    log = logging.getLogger("stream_deadline")
    with asyncio.Runner() as made:
        log.disabled = True
        try:
            yield made
        finally:
            log.disabled = False


def _is_bounded(loop: asyncio.Runner, sent: Sent) -> None:
    """Assert that a request is refused, or gets a budget that its headers allow."""
    app = DeadlineMiddleware(_answer, default_timeout=DEFAULT, max_timeout=MOST)
    caller = Caller()
    scope: ASGIMessage = {"type": "http", "method": "POST", "path": "/", "headers": sent}

    async def ask() -> None:
        await app(scope, caller.receive, caller.send)

    loop.run(ask())
    assert caller.status in (200, 400, 413, 504), caller.heard
    formats = deadline_headers.formats_for("X-Timeout-Ms")
    known, invalid = deadline_headers.read_headers(sent, formats)
    own = [value.strip(b" \t") for name, value in sent if name.lower() == b"x-timeout-ms"]
    target(float(len(invalid)), label="invalid")
    if own and not re.fullmatch(rb"-?[0-9]{1,8}", b", ".join(own)):
        assert caller.status == 400
    elif known is not None and known[0] <= 0:
        assert caller.status == 504
    elif caller.status == 200:
        left = float(caller.said.decode())
        most = DEFAULT if known is None else min(MOST, known[0])
        assert left <= most, (left, known)
        if known is None or known[0] > 1:
            assert left > min(most, MOST) - 1.0, (left, known)
    said = b"".join(repr(each).encode() for each in caller.heard)
    assert b"Traceback" not in said


def _take_what_is_invalid_for_no_bound(patch: pytest.MonkeyPatch) -> None:
    exact = deadline_headers.Format.read

    def read(self: Any, value: str) -> float | None:
        try:
            return exact(self, value)
        except ValueError:
            return None

    patch.setattr(deadline_headers.Format, "read", read)


# The bounds of calls

NUMBERS: list[Any] = [
    1, 2.5, 1e-9, 1e9, 1e18, 1e300, Fraction(1, 3), Decimal("2.5"), Decimal("nan"), 5j, b"5", "5", "", (1, 2), object(), int,
    float("nan"), -float("inf"), 10**400, True, Ellipsis,
]  # fmt: skip
BOUNDS = ("timeout", "first_chunk_timeout", "idle_timeout")
Uses = dict[str, Callable[[dict[str, Any]], object]]
USES: Uses = {
    "ChatVllm": lambda bounds: ChatVllm(model="m", base_url="http://127.0.0.1:9/v1", api_key="k", **bounds),
    "bounded": lambda bounds: bounded(aiter(_Source()), **bounds),
    "bounded_sync": lambda bounds: bounded_sync(iter((1, 2)), **bounds),
    "deadline": lambda bounds: _within(next(iter(bounds.values()), 1.0)),
    "the middleware": lambda bounds: DeadlineMiddleware(_answer, default_timeout=next(iter(bounds.values()), 1.0)),
}  # fmt: skip


class _Source:
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        raise StopAsyncIteration


def _within(limit: Any) -> None:
    with deadline(limit) as due:
        assert isinstance(due.expired, bool)


def _is_a_bound(loop: asyncio.Runner, value: tuple[str, dict[str, Any]]) -> None:
    name, bounds = value
    if name in ("deadline", "the middleware"):
        bounds = dict(list(bounds.items())[:1])

    async def use() -> None:
        USES[name](bounds)

    try:
        loop.run(use())
    except (ValueError, TypeError) as error:
        said = str(error)
        assert said.strip()
    except StreamDeadlineExceeded:
        pass
    else:
        target(1.0, label="accepted")
        if name in ("bounded", "bounded_sync", "the middleware"):
            for each in bounds.values():
                assert each is None or (not isinstance(each, bool | str) and float(each) > 0), (
                    bounds
                )


def _accept_anything(patch: pytest.MonkeyPatch) -> None:
    exact = budget.seconds
    patch.setattr(budget, "seconds", lambda name, value: 1.0 if value == 0 else exact(name, value))


TARGETS: list[Target[Any]] = [
    Target(
        "any headers of a request are a budget, or are refused",
        st.lists(st.tuples(st.sampled_from(NAMES), SAID), max_size=4),
        _is_bounded,
        _take_what_is_invalid_for_no_bound,
        runner,
        examples=150,
        guided=("stream_deadline",),
    ),
    Target(
        "any value is a bound, or is refused with a sentence",
        st.tuples(
            st.sampled_from(sorted(USES)),
            st.dictionaries(st.sampled_from(BOUNDS), st.sampled_from([*NUMBERS, *ODD]), max_size=3),
        ),
        _is_a_bound,
        _accept_anything,
        runner,
        {"a deadline that is no float": ("deadline", {"timeout": 10**400})},
        examples=150,
        guided=("stream_deadline",),
    ),
]
