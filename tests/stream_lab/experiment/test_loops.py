"""Repeated runs, the end of a wait, and the state of asyncio."""

import asyncio

from stream_lab.experiment.loops import NO_ERROR, REFUSED, ended, repeated_runs, state_of_asyncio


def test_runs_are_listed_with_the_error_at_the_bottom() -> None:
    numbers = iter(range(4))

    async def ask() -> None:
        if next(numbers) % 2:
            try:
                raise KeyError("the root")
            except KeyError as error:
                raise RuntimeError("wrapped") from error

    runs = repeated_runs(ask)
    assert (runs.outcomes, runs.succeeded) == ("ok / failed / ok / failed", 2)
    assert runs.cause == "'the root'"


def test_a_wait_ends_with_its_outcome_and_in_time_or_late() -> None:
    async def scope(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await asyncio.sleep(0.7)

    async def both() -> tuple[str, str]:
        bounded, unbounded = await asyncio.gather(
            ended(scope(0.1), due=0.1), ended(scope(9), due=0.1)
        )
        return str(bounded), str(unbounded)

    assert asyncio.run(both()) == ("TimeoutError on time", f"{NO_ERROR} late")


def test_asyncio_is_as_it_comes_unless_something_nests_it() -> None:
    state = asyncio.run(state_of_asyncio())
    assert list(state.values()) == [REFUSED, "C", "C"]
