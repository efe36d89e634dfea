"""When a call is retried: the SDK's rules, within the budget."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from typing import Any

import httpx2
import openai
import pytest

from stream_deadline._budget import Bounds, Budget
from stream_deadline._connection import ConnectionTracker
from stream_deadline._retry import Retrier
from tests.stream_deadline.sources import elapsed, virtually

REQUEST = httpx2.Request("POST", "http://host/v1/chat/completions")


def status(code: int, **headers: str) -> openai.APIStatusError:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response: Any = httpx2.Response(code, request=REQUEST, headers=sent)
    return openai.APIStatusError("no", response=response, body=None)


def broken(cause: Exception | None = None) -> openai.APIConnectionError:
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


class Connection:
    """What a call knows of its connection."""

    def __init__(
        self,
        *,
        reused: bool,
        heard: bool = False,
        ago: float = 0.0,
        opened_in: float = 0.001,
        secure: bool = False,
    ) -> None:
        self.reused, self.heard, self.opened_in = reused, heard, opened_in
        self.sent_at, self.secure = time.monotonic() - ago, secure


class Call:
    """A call whose attempts fail one after the other, on a clock that sleeping moves."""

    def __init__(
        self,
        *errors: "Exception | Callable[[Call], Exception]",
        timeout: float | None = 100,
        retries: int = 2,
    ) -> None:
        self.waits: list[float] = []
        self.time = 0.0
        self.tracker = ConnectionTracker(Budget(Bounds(timeout), lambda: self.time), blocking=True)
        self._errors = list(errors)
        self._attempts = Retrier(retries, Budget(Bounds(timeout), lambda: self.time), self.tracker)

    def attempt(self) -> Iterator[str]:
        if self._errors:
            error = self._errors.pop(0)
            raise error(self) if callable(error) else error
        yield "answer"

    def run(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        def pause(tracker: ConnectionTracker, seconds: float) -> None:
            self.waits.append(seconds)
            self.time += seconds

        monkeypatch.setattr(ConnectionTracker, "pause", pause)
        return list(self._attempts.stream_sync(self.attempt))


def test_a_busy_server_gets_retries_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(status(429), status(429))
    assert call.run(monkeypatch) == ["answer"]
    assert 0.375 <= call.waits[0] <= 0.5
    assert 0.75 <= call.waits[1] <= 1.0


@pytest.mark.parametrize("code", [400, 401, 403, 404, 408, 409, 422, 500, 502, 503, 504, 524])
def test_errors_that_persist_or_may_have_started_a_generation_are_not_retried(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(openai.APIStatusError):
        Call(status(code)).run(monkeypatch)


def test_there_are_max_retries_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(*[status(429)] * 4, retries=3)
    with pytest.raises(openai.APIStatusError):
        call.run(monkeypatch)
    assert len(call.waits) == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "120"}, 120.0),
    ],
)
@pytest.mark.parametrize("code", [429, 503])
def test_the_pause_the_server_asks_for_is_made(
    code: int, headers: dict[str, str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call(status(code, **headers), timeout=200)
    call.run(monkeypatch)
    assert call.waits == [seconds]


def test_the_pause_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(status(503, retry_after=formatdate(time.time() + 20, usegmt=True)))
    call.run(monkeypatch)
    assert 17 < call.waits[0] <= 20


@pytest.mark.parametrize("nonsense", ["soon", "-3", "0", ""])
def test_an_invalid_pause_is_ignored(nonsense: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(status(503, retry_after=nonsense))
    call.run(monkeypatch)
    assert 0.375 <= call.waits[0] <= 0.5


@pytest.mark.parametrize("timeout", [30, None])
def test_a_pause_that_is_too_long_is_not_made(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call(status(503, retry_after="121"), timeout=timeout)
    with pytest.raises(openai.APIStatusError):
        call.run(monkeypatch)
    call = Call(status(503, retry_after="30"), timeout=30)
    with pytest.raises(openai.APIStatusError):
        call.run(monkeypatch)
    assert call.waits == []


def test_the_servers_x_should_retry_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Call(status(400, x_should_retry="true")).run(monkeypatch) == ["answer"]
    with pytest.raises(openai.APIStatusError):
        Call(status(429, x_should_retry="false")).run(monkeypatch)


def on_a(**connection: Any) -> Callable[[Call], None]:
    def before(call: Call) -> None:
        call.tracker.sending(httpx2.Request("POST", "http://host/"))
        call.tracker.connected(Connection(**connection))
        call.time += 1

    return before


new, stale, half = on_a(reused=False), on_a(reused=True), on_a(reused=True, heard=True)
late, secure = on_a(reused=True, ago=5.0), on_a(reused=True, ago=0.5, secure=True)
at_work, far = on_a(reused=True, ago=0.5), on_a(reused=True, ago=0.5, opened_in=0.3)


def answered(call: Call) -> None:
    stale(call)
    call.tracker.receiving(httpx2.Response(200, request=REQUEST))


@pytest.mark.parametrize(
    ("before", "cause", "again"),
    [
        (new, httpx2.ConnectError("refused"), True),
        (new, httpx2.ConnectTimeout("slow"), True),
        (new, httpx2.PoolTimeout("no connection was free"), True),
        (new, httpx2.ProxyError("the proxy refused"), True),
        (new, httpx2.WriteError("reset before the request was whole"), True),
        (new, httpx2.WriteTimeout("the request was not read"), True),
        (new, httpx2.CloseError("closed"), False),
        (new, httpx2.ReadError("reset"), False),
        (new, httpx2.RemoteProtocolError("closed"), False),
        (new, httpx2.ReadTimeout("silent"), False),
        (stale, httpx2.ReadError("a pooled connection the server had given up"), True),
        (far, httpx2.ReadError("the same, over a slow line"), True),
        (at_work, httpx2.ReadError("the server broke down while it worked"), False),
        (at_work, httpx2.RemoteProtocolError("closed in order, over a slow line"), True),
        (
            late,
            httpx2.RemoteProtocolError("closed in order, by a gateway that had waited long enough"),
            False,
        ),
        (
            secure,
            httpx2.RemoteProtocolError("broke down; over TLS that looks like an orderly end"),
            False,
        ),
        (stale, httpx2.WriteError("the same, before the request was whole"), True),
        (stale, httpx2.CloseError("the same, while it was closed"), True),
        (stale, httpx2.ReadTimeout("silent"), False),
        (half, httpx2.RemoteProtocolError("half a status line"), False),
        (answered, httpx2.ReadError("reset"), False),
    ],
)
def test_a_request_is_sent_again_only_if_it_cannot_have_started_a_generation(
    before: Callable[[Call], None], cause: Exception, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call(broken(cause))
    before(call)
    if again:
        assert call.run(monkeypatch) == ["answer"]
    else:
        with pytest.raises(openai.APIConnectionError):
            call.run(monkeypatch)


def test_a_stale_connection_is_retried_once_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(broken(httpx2.ReadError("reset")), broken(httpx2.ReadError("reset")))
    stale(call)
    with pytest.raises(openai.APIConnectionError):
        call.run(monkeypatch)
    assert call.waits == [0.0]


def test_an_answer_to_an_earlier_request_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(broken(httpx2.ConnectError("refused")))
    answered(call)  # a token, fetched by `auth=`
    new(call)
    assert call.run(monkeypatch) == ["answer"]


def test_other_errors_are_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupError):
        Call(LookupError()).run(monkeypatch)


@pytest.mark.parametrize("share", [0.75, 1.0])
def test_a_pause_is_random_between_three_quarters_and_the_whole(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: {0.75: low, 1.0: high}[share])
    call = Call(status(429), status(429))
    call.run(monkeypatch)
    assert call.waits == [0.5 * share, 1.0 * share]


def test_a_pause_may_not_outlast_what_earlier_ones_have_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call(status(503, retry_after="60"), status(503, retry_after="45"))
    with pytest.raises(openai.APIStatusError):
        call.run(monkeypatch)
    assert call.waits == [60]


@pytest.mark.parametrize("said", ["maybe", "TRUE", ""])
def test_another_word_in_x_should_retry_decides_nothing(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Call(status(429, x_should_retry=said)).run(monkeypatch) == ["answer"]
    with pytest.raises(openai.APIStatusError):
        Call(status(400, x_should_retry=said)).run(monkeypatch)


def test_an_error_of_the_sdk_that_is_of_no_connection_is_not_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error: Any = openai.APIError("in the stream", request=REQUEST, body=None)
    for before in (new, stale):
        error.__cause__ = httpx2.ReadError("reset")
        call = Call(error)
        before(call)
        with pytest.raises(openai.APIError, match="in the stream"):
            call.run(monkeypatch)


def test_the_cause_of_a_cause_counts_and_an_error_without_one_is_not_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outer = RuntimeError("of a transport in between")
    outer.__cause__ = httpx2.ConnectError("refused")
    assert Call(broken(outer)).run(monkeypatch) == ["answer"]
    with pytest.raises(openai.APIConnectionError):
        Call(broken()).run(monkeypatch)


def refused_anew(call: Call) -> Exception:
    new(call)
    return broken(httpx2.ConnectError("refused"))


def refused_as_stale(call: Call) -> Exception:
    return status(429)


@pytest.mark.parametrize("second", [refused_anew, refused_as_stale])
def test_only_the_attempt_right_after_a_stale_connection_has_no_pause(
    second: Callable[[Call], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call(broken(httpx2.ReadError("reset")), second)
    stale(call)
    assert call.run(monkeypatch) == ["answer"]
    first, then = call.waits
    assert first == 0
    assert 0.75 <= then <= 1.0


class Generator:
    """A generator that an attempt leaves open."""

    ag_running = False

    def __init__(self, closed: list[float]) -> None:
        self._closed = closed

    async def aclose(self) -> None:
        self._closed.append(elapsed())


@pytest.mark.parametrize("failing", [0, 2, 3])
def test_an_asynchronous_call_pauses_too_and_closes_what_each_attempt_leaves(
    failing: int,
) -> None:
    closed: list[float] = []
    got: list[str] = []

    @virtually
    async def play() -> None:
        clock = asyncio.get_running_loop().time
        budget = Budget(Bounds(100), clock)
        tracker = ConnectionTracker(budget, blocking=False)
        errors = [status(429, retry_after="5") for _ in range(failing)]

        async def attempt() -> AsyncIterator[str]:
            tracker.generators.append(Generator(closed))
            if errors:
                raise errors.pop()
            yield "an"
            yield "swer"

        try:
            async for item in Retrier(2, budget, tracker).stream(attempt):
                got.append(item)
        except openai.APIStatusError:
            got.append("error")

    play()
    assert got == (["error"] if failing == 3 else ["an", "swer"])
    assert closed == [0.0, 5.0, 10.0][: min(failing, 2) + 1]
