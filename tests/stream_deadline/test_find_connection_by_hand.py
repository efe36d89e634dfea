"""The connection under a stream, found in hand-made streams and responses."""

import threading
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_deadline import _find_connection as entrances
from stream_deadline._call_group import CallGroup
from stream_deadline._find_connection import interrupter


class Response:
    """An open response; `ended`: whether each way to end its connection was used."""

    def __init__(self, *, is_closed: bool = False, **extensions: Any) -> None:
        self.is_closed = is_closed
        self.extensions = {"network_stream": self, **extensions}
        self.ended: list[str] = []

    def get_extra_info(self, name: str) -> Any:
        self.ended.append("shut down")

    def close(self) -> None:
        self.ended.append("closed")


class Source:
    """A stream of some library's, with what is given as its attributes."""

    def __init__(self, **inside: Any) -> None:
        vars(self).update(inside)


@pytest.fixture
def no_warning() -> Iterator[None]:
    entrances._warned.discard(Source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    entrances._warned.discard(Source)


def end(stream: Any, *, in_use: bool = True, blocking: bool = True) -> None:
    interrupter(stream, CallGroup(), blocking=blocking)(in_use)


NAMES = (
    "response",
    "_response",
    "http_response",
    "_raw_stream",
    "_iterator",
    "_stream",
    "_event_source",
)


@pytest.mark.usefixtures("no_warning")
@pytest.mark.parametrize("name", NAMES)
def test_an_open_response_in_a_known_attribute_is_ended(name: str) -> None:
    response = Response()
    end(Source(**{name: response}))
    assert response.ended == ["shut down"]
    end(Source(**{name: Source(**{name: response})}), in_use=False)
    assert response.ended == ["shut down", "shut down", "closed"]


@pytest.mark.usefixtures("no_warning")
def test_the_stream_itself_may_be_the_response_and_one_reached_twice_is_one() -> None:
    response = Response()
    end(response)
    end(Source(response=response, _stream=Source(response=response)))
    assert response.ended == ["shut down"] * 2


def under(depth: int, response: Response) -> Any:
    stream: Any = response
    for _ in range(depth):
        stream = Source(_stream=stream)
    return stream


def test_a_response_is_found_up_to_five_steps_deep() -> None:
    near, far = Response(), Response()
    end(under(5, near), blocking=False)
    end(under(9, far), blocking=False)
    assert (near.ended, far.ended) == (["shut down"], [])


def test_streams_that_refer_to_each_other_are_no_endless_search() -> None:
    response = Response()
    one, other = Source(), Source()
    vars(one).update(_stream=other)
    vars(other).update(_stream=one, response=response)
    end(one)
    assert response.ended == ["shut down"]


def test_none_of_two_open_responses_is_ended_since_either_may_be_meant() -> None:
    one, other = Response(), Response()
    end(Source(response=one, _stream=Source(response=other)), blocking=False)
    assert one.ended == other.ended == []


@pytest.mark.usefixtures("no_warning")
def test_only_the_open_response_of_two_is_ended() -> None:
    one, other = Response(is_closed=True), Response()
    end(Source(response=one, _stream=Source(response=other)))
    assert (one.ended, other.ended) == ([], ["shut down"])


@pytest.mark.usefixtures("no_warning")
def test_a_response_over_a_shared_connection_is_found_and_left_open() -> None:
    response = Response(stream_id=3)
    end(Source(response=response))
    assert response.ended == []


@pytest.mark.usefixtures("no_warning")
def test_a_stream_that_can_be_interrupted_is_interrupted_and_not_looked_into() -> None:
    seen: list[str] = []

    class Bounded(Source):
        def interrupt(self) -> None:
            seen.append("interrupted")

    response = Response()
    end(Source(_iterator=Bounded(response=response)))
    assert (seen, response.ended) == (["interrupted"], [])


@pytest.mark.parametrize(
    "other",
    [
        SimpleNamespace(is_closed=False),
        SimpleNamespace(is_closed=False, extensions={}),
        SimpleNamespace(is_closed=False, extensions=["network_stream"]),
        SimpleNamespace(extensions={"network_stream": None}),
        "text",
        5,
    ],
)
def test_another_thing_in_a_known_attribute_is_no_response(other: Any) -> None:
    response = Response()
    end(Source(response=other, _stream=Source(response=response)))
    assert response.ended == ["shut down"]


def test_a_property_that_cannot_be_read_hides_nothing() -> None:
    class Early(Source):
        @property
        def response(self) -> Any:
            raise RuntimeError("not yet")

    inner = Response()
    end(Early(_stream=Source(response=inner)))
    assert inner.ended == ["shut down"]


def reads(response: Any) -> Iterator[int]:
    yield 1
    del response
    yield 2


def reads_through(inner: Iterator[int]) -> Iterator[int]:
    yield from inner


async def reads_async(response: Any) -> AsyncIterator[int]:
    yield 1
    del response


@pytest.mark.usefixtures("no_warning")
def test_a_response_is_found_among_the_variables_of_a_generator() -> None:
    for made in (reads, reads_async):
        response = Response()
        end(made(response))
        assert response.ended == ["shut down"], made
    response = Response()
    made_of = [reads(response)]
    through = reads_through(iter(made_of.pop()))
    next(through)
    end(through)
    assert response.ended == ["shut down"]


class Delegate(Source):
    """What a generator takes its items from, or waits for."""

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> int:
        return 1

    def __await__(self) -> Generator[None, None, None]:
        yield


def delegates(made: list[Delegate]) -> Iterator[int]:
    yield from made.pop()


async def waits(made: list[Delegate]) -> AsyncIterator[int]:
    await made.pop()
    yield 1


@pytest.mark.usefixtures("no_warning")
def test_a_response_is_found_in_what_a_generator_delegates_to_or_waits_for() -> None:
    response = Response()
    items = delegates([Delegate(response=response)])
    next(items)
    end(items)
    assert response.ended == ["shut down"]
    step = (parts := waits([Delegate(response=response)])).asend(None)  # type: ignore[attr-defined]
    step.send(None)
    end(parts)
    assert response.ended == ["shut down"] * 2
    step.close()


def test_the_calls_of_the_source_are_ended_and_count_as_found() -> None:
    ended: list[str] = []
    calls = CallGroup()
    calls.add(lambda: ended.append("call"))
    entrances._warned.discard(Source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interrupter(Source(), calls, blocking=True)(True)
    assert ended == ["call"]


@pytest.mark.parametrize(
    ("source", "blocking", "in_use", "warns"),
    [
        (Source(), True, True, True),
        (Source(), False, True, False),
        (Source(), True, False, False),
        (Source(response=Response(is_closed=True)), True, True, False),
        (under(4, Response(is_closed=True)), True, True, False),
        (Source(response=SimpleNamespace(is_closed=True)), True, True, True),
        (Source(_stream=Source()), True, True, True),
    ],
)
def test_only_a_thread_that_still_waits_for_an_unknown_source_is_warned_of(
    source: Any, blocking: bool, in_use: bool, warns: bool
) -> None:
    entrances._warned.discard(Source)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            end(source, in_use=in_use, blocking=blocking)
    assert len(said) == int(warns)
    if warns:
        assert said[0].category is RuntimeWarning
        assert "Source passed while the stream was waiting" in str(said[0].message)


class Timer(threading.Timer):
    """A timer that a test fires by hand.

    Attributes:
        is_started: whether it would have fired by itself later.
    """

    is_started = False

    def start(self) -> None:
        self.is_started = True

    def fire(self) -> None:
        """Do what it was to do later."""
        self.function(*self.args, **self.kwargs)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Timer]:
    """The timers of the warnings, none of which fires by itself."""
    made: list[Timer] = []

    def make(*given: Any) -> Timer:
        made.append(timer := Timer(*given))
        return timer

    monkeypatch.setattr(entrances, "threading", SimpleNamespace(Timer=make))
    return made


@pytest.mark.parametrize("waits_on", [True, False])
def test_a_generator_is_warned_of_only_if_it_still_waits_a_moment_later(
    waits_on: bool, timers: list[Timer]
) -> None:
    runs, free = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        runs.set()
        free.wait(60)
        yield 1

    items = source()
    kind = type(items)
    entrances._warned.discard(kind)
    thread = threading.Thread(target=next, args=(items,), daemon=True)
    thread.start()
    assert runs.wait(60)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        end(items)
        [timer] = timers
        assert (timer.is_started, timer.daemon, timer.interval) == (True, True, 0.5)
        assert timer.name == "stream-deadline warning"
        if not waits_on:
            free.set()
            thread.join()
        assert not said
        timer.fire()
    free.set()
    thread.join()
    assert len(said) == int(waits_on)
    assert (kind in entrances._warned) is waits_on
    entrances._warned.discard(kind)
