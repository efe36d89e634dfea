"""The checkers of notebook 06: a clock in the generator."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_lab.course.bounded_streams import Seen, Source, consume, opened, wrong_type
from stream_lab.course.exercise import Wrong, equals, exercise
from stream_lab.course.own_loop import in_own_loop
from stream_lab.course.own_tests import Outcome, run_with_attempts
from stream_lab.experiment.trace import Recording

DEADLINE, LONG, PAUSE = 0.2, 10.0, 0.02  # seconds
ITEMS = 5
HOUR = 3600.0


@exercise(
    "06.1",
    hints=(
        "The start of a call belongs in a local variable of the generator, and the comparison "
        "inside its loop.",
        "`try … finally` around the loop closes the source whichever way the loop ends.",
    ),
    idea="`started = time.monotonic()` first; then, for each chunk, raise TimeoutError if more "
    "than `self.seconds` have passed, and yield it otherwise; `await chunks.aclose()` at the end.",
)
async def elapsed(answer: Any) -> None:
    """Accept a class that bounds streams by the elapsed time, in any task."""
    if not isinstance(answer, type):
        raise Wrong("The answer is the class itself, not an object of it.")
    await in_own_loop(lambda: _bound(answer), limit=25.0)


async def _bound(answer: Any) -> None:
    await _leaves_a_finite_stream_whole(answer)
    await _ends_an_endless_stream(answer)
    await _keeps_each_start_apart(answer)
    await _does_not_follow_the_wall_clock(answer)
    await _closes_the_source_of_a_consumer_that_leaves(answer)


async def _consume(bound: Any, source: Source, *, tasks: bool = False) -> Seen:
    return await consume(opened(bound.bounded, source.items()), 1.0, tasks=tasks)


async def _leaves_a_finite_stream_whole(answer: Any) -> None:
    whole = await _consume(answer(LONG), Source(gap=PAUSE, count=ITEMS))
    if isinstance(whole.error, TimeoutError):
        raise Wrong("A stream that ended long before its deadline was cut.")
    if whole.error is not None:
        raise wrong_type(whole.error)
    if whole.values != list(range(ITEMS)):
        raise Wrong(f"The stream has {ITEMS} chunks, and {len(whole.items)} came out.")
    broken = await _consume(answer(LONG), Source(gap=PAUSE, count=2, last="error"))
    if not isinstance(broken.error, ValueError):
        found = "no error" if broken.error is None else type(broken.error).__name__
        raise Wrong(f"The source failed with ValueError, and {found} came out.")


async def _ends_an_endless_stream(answer: Any) -> None:
    for words, tasks in (("one task", False), ("a new task for each chunk", True)):
        source = Source(gap=PAUSE)
        seen = await _consume(answer(DEADLINE), source, tasks=tasks)
        if seen.ended is None:
            raise Wrong(
                f"An endless stream with a deadline of {DEADLINE:g} s, pulled by {words}, "
                "never ended." + (" Is a scope open across the `yield`?" if tasks else "")
            )
        _must_be_a_time_out(seen)
        if not seen.items:
            raise Wrong("The stream was cut before its first chunk: are those seconds?")
        if source.closed is None:
            raise Wrong(
                "The stream was cut and its source stayed open, so a server would go on: "
                "`await chunks.aclose()`."
            )


def _must_be_a_time_out(seen: Seen) -> None:
    if seen.error is None:
        raise Wrong(
            "At the deadline the stream ended without an error, so half an answer looks "
            "like a whole one: raise TimeoutError."
        )
    if type(seen.error) is Exception:
        raise Wrong("Raise TimeoutError, so that callers can tell this error from others.")
    if not isinstance(seen.error, TimeoutError):
        raise wrong_type(seen.error)


async def _keeps_each_start_apart(answer: Any) -> None:
    """One object bounds a call that comes late, and calls that overlap."""
    bound = answer(2 * DEADLINE)
    await asyncio.sleep(2.5 * DEADLINE)
    late = await _consume(bound, Source(gap=PAUSE, count=3))
    if isinstance(late.error, TimeoutError):
        raise Wrong(
            "A call that began long after the object was made was cut at once: the start belongs "
            "to the call, and not to the object."
        )
    long = asyncio.create_task(_consume(bound, Source(gap=PAUSE)))
    while not long.done():
        await _consume(bound, Source(gap=PAUSE, count=3))
    if (await long).ended is None:
        raise Wrong(
            "While one call ran, others began with the same object, and it was never cut: they "
            "moved its start. The start belongs to the call, and not to the object."
        )


async def _does_not_follow_the_wall_clock(answer: Any) -> None:
    stream = opened(answer(LONG).bounded, Source(gap=PAUSE, count=ITEMS).items())
    await anext(stream)
    with _wall_clock_moved(HOUR):
        seen = await consume(stream, 1.0)
    if isinstance(seen.error, TimeoutError):
        raise Wrong(
            "The machine's clock was set forward by an hour, and the stream was cut: measure with "
            "a clock that is never set."
        )


async def _closes_the_source_of_a_consumer_that_leaves(answer: Any) -> None:
    source = Source(gap=PAUSE)
    stream: Any = opened(answer(LONG).bounded, source.items())
    await anext(stream)
    await stream.aclose()
    if source.closed is None:
        raise Wrong(
            "The consumer left before the deadline and the source stayed open: close it however "
            "the loop ends."
        )


@contextmanager
def _wall_clock_moved(seconds: float) -> Iterator[None]:
    """Let `time.time` be ahead while the body runs."""
    original = time.time
    time.time = lambda: original() + seconds
    try:
        yield
    finally:
        time.time = original


@exercise(
    "06.2",
    hints=(
        "The socket's read time-out begins anew with each byte. When did the last byte come?",
        "`recording.arrivals` has the seconds at which the chunks arrived.",
    ),
    idea="The last arrival plus one whole time-out.",
)
def end_of_the_stall(answer: object, recording: Recording, limit: float) -> None:
    """Accept the second at which the socket's time-out has to end the stalled call."""
    last = recording.arrivals[-1]
    equals(
        answer,
        last + limit,
        tolerance=0.15,
        mistakes=[
            (limit, "That is the deadline. The socket's clock began again with each byte."),
            (last, "That is when the last chunk arrived; the socket's clock began there."),
        ],
    )


@exercise(
    "06.3",
    hints=(
        "Let the fake play `endless`, and put a prompt in front of the model: "
        "`(prompt | model).astream(…)`.",
        "Expect TimeoutError with `pytest.raises`, and bound the loop yourself: leave it after a "
        "hundred chunks, for example, so that the test also ends where the deadline does nothing.",
    ),
    idea="A chain on an endless fake, with a deadline of half a second; the test leaves the loop "
    "after a second or two, and so it fails where no TimeoutError came.",
    limit=70.0,
)
async def own_test(answer: Any) -> None:
    """Accept a test that is red for attempt 1 and green for attempt 2."""
    is_a_test(answer)
    judge(await asyncio.to_thread(run_with_attempts, answer))


def is_a_test(answer: Any) -> None:
    """Refuse what pytest would not run."""
    if not callable(answer):
        raise Wrong("The answer is the test function itself.")
    if not getattr(answer, "__name__", "").startswith("test_"):
        raise Wrong("pytest only runs functions whose names begin with `test_`.")


def judge(outcome: Outcome) -> None:
    """Accept a run that is red for attempt 1 and green for the fix."""
    if outcome.problem:
        raise Wrong(outcome.problem)
    fix, attempt = outcome.fix, outcome.attempt
    if fix.hung:
        raise Wrong(
            "Your test does not end with the fix: does its model have a `timeout`, and does the "
            "test call `astream`, the only method that both attempts override?"
        )
    if not fix.passed:
        elsewhere = fix.said.startswith("NameError")
        raise Wrong(
            f"The test is red for the fix: {fix.said}."
            + (" The file holds this cell only: import the name there." if elsewhere else "")
        )
    if attempt.hung:
        raise Wrong(
            "With attempt 1 your test never ends, so it would block your CI: give it a bound of "
            "its own, such as a number of chunks."
        )
    if attempt.passed:
        raise Wrong(
            "The test is green for attempt 1, so it would not have caught the incident. "
            + attempt.why_green
        )
