"""The exercises of notebook 01: what an abandoned request costs, and a handler that asks."""

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from stream_lab.course.exercise import Wrong, equals, exercise
from stream_lab.experiment.witness import Sample

EVERY = 0.05  # seconds between two samples
WORDS = [f"word{number} " for number in range(40)]
STAYS = "The caller stays connected, and the text is not the whole answer."


def _samples(before: float, after: float, left: float, end: float) -> list[Sample]:
    """Return samples of a server whose rate of tokens changes at `left`."""
    found, tokens = [], 5000.0
    for number in range(round(end / EVERY)):
        at = number * EVERY
        found.append(Sample(at, 1, 0, round(tokens)))
        tokens += EVERY * (before if at < left else after)
    return found


@exercise(
    "01.1",
    hints=(
        "`tokens` counts from the server's start. Subtract one sample's from another's.",
        "Take the first and the last sample with `at >= left`: tokens and seconds between them.",
    ),
    idea="the tokens between two samples, divided by the seconds between them, times 60",
)
def tokens_a_minute(answer: Callable[..., Any]) -> None:
    """Try two servers whose rate changes when the caller leaves."""
    if not callable(answer):
        raise Wrong("`tokens_a_minute` is to be a function with the parameters samples and left.")
    for before, after, left, end in ((200, 40, 2.0, 6.0), (10, 100, 1.0, 9.0)):
        samples = _samples(before, after, left, end)
        made = samples[-1].tokens - next(s for s in samples if s.at >= left).tokens
        every = samples[-1].tokens - samples[0].tokens
        seconds = samples[-1].at
        equals(
            answer(samples, left),
            float(after * 60),
            mistakes=[
                (float(after), "That is the number for a second; the question is about a minute."),
                (float(made), "That is how many tokens were made, and not yet for each minute."),
                (float(made * 60), "Divide by the seconds in which these tokens were made."),
                (
                    made / seconds * 60,
                    "Divide by the seconds since the caller left, not by those since the request.",
                ),
                (every / seconds * 60, "That counts the tokens before the caller left, too."),
                (
                    samples[-1].tokens / seconds * 60,
                    "`tokens` counts from the server's start, which was before this request.",
                ),
                (
                    samples[-1].tokens / (seconds - left) * 60,
                    "`tokens` counts from the server's start, which was before the caller left.",
                ),
            ],
        )


class _Stream:
    """A stream of words that notes how many were read, and whether it was closed."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = False

    async def chunks(self) -> AsyncIterator[str]:
        try:
            for word in WORDS:
                await asyncio.sleep(0)
                self.read += 1
                yield word
        finally:
            self.closed = True


@exercise(
    "01.2",
    hints=(
        "Loop over the chunks with `async for`, and ask inside the loop, not before or after it.",
        "`if await is_disconnected(): break`, after the chunk has been added.",
    ),
    idea="between one chunk and the next, await is_disconnected() and leave the loop if it is true",
)
async def collect(answer: Callable[..., Any]) -> None:
    """Try a caller that stays, and one that leaves in the middle."""
    if not callable(answer):
        raise Wrong("`collect` is to be a function with the parameters chunks and is_disconnected.")
    stream, text, asked = await _run(answer, leaves_after=None)
    if text is None:
        raise Wrong("The function returns None. Return the text that has arrived.")
    if not isinstance(text, str):
        raise Wrong(f"Return one string; that is of type {type(text).__name__}. Join the pieces.")
    if text != "".join(WORDS):
        if stream.read < len(WORDS) and not asked.awaited:
            raise Wrong(
                f"{STAYS} `is_disconnected()` is a coroutine; without `await` it is always true."
            )
        raise Wrong(STAYS)
    stream, text, asked = await _run(answer, leaves_after=10)
    if stream.read >= len(WORDS):
        raise Wrong(
            "The caller disconnected after 10 chunks, and the handler read all of them."
            if asked.awaited > 1
            else "The handler must ask in the loop: its caller can disconnect at any chunk."
        )
    if stream.read > 12:
        raise Wrong(f"The caller disconnected after 10 chunks; the handler read {stream.read}.")
    if not isinstance(text, str) or not "".join(WORDS[:11]).startswith(text) or len(text) < 50:
        raise Wrong("When the caller has disconnected, return the text that has arrived so far.")
    del answer
    gc.collect()
    await asyncio.sleep(0.02)
    if not stream.closed:
        raise Wrong("The stream is still open, so the GPU server is still at work. Close it.")


class _Asked:
    """A stand-in for `request.is_disconnected`."""

    def __init__(self, stream: _Stream, leaves_after: int | None) -> None:
        self._stream, self._leaves_after = stream, leaves_after
        self.awaited = 0

    async def __call__(self) -> bool:
        self.awaited += 1
        return self._leaves_after is not None and self._stream.read >= self._leaves_after


async def _run(answer: Callable[..., Any], leaves_after: int | None) -> tuple[_Stream, Any, _Asked]:
    stream = _Stream()
    asked = _Asked(stream, leaves_after)
    result = answer(stream.chunks(), asked)
    if not inspect.isawaitable(result):
        raise Wrong("`collect` is to be an `async def` function.")
    try:
        return stream, await result, asked
    except StopAsyncIteration:
        raise Wrong(
            "`anext()` raised StopAsyncIteration, when the stream was over; `async for` just ends."
        ) from None
