"""The exercises of notebook 02: the longest call, a bound for `ainvoke`, and whole answers."""

import asyncio
import inspect
import math
import time
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict

from stream_lab.course.exercise import Wrong, equals, exercise

SECONDS = 0.2
"""The bound that the answer is tried with."""
LATE = 0.6
"""Seconds after it in which the answer must have ended, on a busy machine, too."""
TEXT = "42"


@exercise(
    "02.1",
    hints=(
        "A read times out after 45 s of silence. How long can the model take for one token, then?",
        "1000 tokens, each just before the read times out. An hour has 3600 seconds.",
    ),
    idea="the number of tokens times the longest wait for one of them, in hours",
)
def longest_call(answer: object) -> None:
    """Compare with a thousand waits of 45 s."""
    if isinstance(answer, float) and math.isclose(answer, 45 / 3600, abs_tol=0.001):
        raise Wrong("That is the time-out of one read. The next read begins with a new one.")
    equals(
        answer,
        1000 * 45 / 3600,
        tolerance=0.1,
        mistakes=[
            (1000 * 45.0, "That is in seconds; answer in hours."),
            (1000 * 45 / 60, "That is in minutes; answer in hours."),
            (45.0, "That is the time-out of one read. The next read begins with a new one."),
            (1000 / 45, "Multiply: each of the tokens may take as long as one time-out."),
            (1000 / 3600, "That is one second for each token; it may take longer."),
        ],
    )


class Slow(BaseChatModel):
    """A model whose answer takes many short waits.

    Attributes:
        takes: Seconds that the answer takes.
        error: What it raises in the end. None: it answers.
        running: How many calls are at work.
    """

    takes: float
    error: Exception | None = None
    running: int = 0
    model_config = ConfigDict(arbitrary_types_allowed=True)

    @property
    def _llm_type(self) -> str:
        return "slow"

    async def _agenerate(
        self,
        messages: Any,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.running += 1
        try:
            for _ in range(math.ceil(self.takes / 0.01)):
                await asyncio.sleep(0.01)
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        return ChatResult(generations=[ChatGeneration(message=AIMessage(TEXT))])

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise Wrong("`invoke` blocks the event loop while it waits. Use `await model.ainvoke(…)`.")


@exercise(
    "02.2",
    hints=(
        "No setting of the model bounds the whole call. Put a bound of your own around it.",
        "Python has `asyncio.timeout(seconds)` for `async with`, and `asyncio.wait_for`.",
    ),
    idea="await model.ainvoke(question) inside `async with asyncio.timeout(seconds):`",
)
async def answer_within(answer: Callable[..., Any]) -> None:
    """Try an answer in time, an error, and an answer that takes too long."""
    if not callable(answer):
        raise Wrong(
            "`answer_within` is to be a function with the parameters model, question and seconds."
        )
    quick = Slow(takes=0.02)
    try:
        found = await _ended(answer, quick, 5.0)
    except TimeoutError:
        raise Wrong("The answer was there in time, and the function raised TimeoutError.") from None
    if inspect.isawaitable(found):
        raise Wrong("The function returns a coroutine: put `await` before `model.ainvoke(…)`.")
    if found is None:
        raise Wrong("The function returns None, although the answer was there in time.")
    if TEXT not in (found, getattr(found, "content", None)):
        raise Wrong("The function must return the model's answer.")
    try:
        await _ended(answer, Slow(takes=0.02, error=ValueError("the server's own error")), 5.0)
        raise Wrong("The model raised a ValueError, and the function hid it.")
    except ValueError:
        pass
    except TimeoutError:
        raise Wrong("The model raised a ValueError, and it came out as a TimeoutError.") from None
    slow = Slow(takes=SECONDS + LATE + 0.4)
    began = time.monotonic()
    try:
        found = await _ended(answer, slow, SECONDS)
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        raise Wrong("A CancelledError came out. The caller expects a TimeoutError.") from None
    else:
        if time.monotonic() - began > SECONDS + LATE:
            raise Wrong(f"The bound was {SECONDS:g} s, and the call went on much longer.")
        raise Wrong(f"After its time the function returned {found!r}. It is to raise TimeoutError.")
    if time.monotonic() - began < SECONDS * 0.9:
        raise Wrong("The function raised TimeoutError before the time had passed.")
    if time.monotonic() - began > SECONDS + LATE:
        raise Wrong("The TimeoutError came much too late.")
    await asyncio.sleep(0.05)
    if slow.running:
        raise Wrong(
            "You stopped waiting, and the call goes on, as in the incident. It has to be cancelled."
        )


async def _ended(answer: Callable[..., Any], model: Slow, seconds: float) -> Any:
    """Return what the reader's function returns; raise what it raises."""
    found = answer(model, "What is six times seven?", seconds)
    if not inspect.isawaitable(found):
        raise Wrong("`answer_within` is to be an `async def` function.")
    return await found


WHOLE = ("stop", "tool_calls")
CUT = {
    "length": "max_tokens had cut the answer (`length`)",
    "repetition": "vLLM had ended a loop (`repetition`)",
    "abort": "the server had shut down in the middle (`abort`)",
    "content_filter": "a filter had cut the answer (`content_filter`)",
    None: "no finish_reason had come, as from a gateway that ended the stream",
}


@exercise(
    "02.3",
    hints=(
        "Which reasons say that the answer is complete? Count those, and not the others.",
        "`message.response_metadata.get('finish_reason')`, compared with `stop` and `tool_calls`.",
    ),
    idea="an answer is whole only if its finish_reason is one of a short list of good ones",
)
def is_whole(answer: Callable[..., Any]) -> None:
    """Try messages with each reason, and with none."""
    if not callable(answer):
        raise Wrong("`is_whole` is to be a function with the parameter message.")
    for reason in WHOLE:
        found = answer(AIMessage("Hello.", response_metadata={"finish_reason": reason}))
        if inspect.isawaitable(found):
            raise Wrong("`is_whole` waits for nothing: write it with `def`, without `async`.")
        if not isinstance(found, bool):
            raise Wrong(f"Return True or False; for {reason!r} the function returns {found!r}.")
        if not found:
            raise Wrong(f"An answer with the finish_reason {reason!r} is complete.")
    for cut, words in CUT.items():
        metadata = {} if cut is None else {"finish_reason": cut}
        try:
            found = answer(AIMessage("Hello.", response_metadata=metadata))
        except KeyError:
            raise Wrong(
                "There may be no finish_reason at all; use `.get('finish_reason')`."
            ) from None
        if found:
            raise Wrong(f"The function says that it is whole, and {words}.")
        if found is None:
            raise Wrong(f"Return True or False; for {cut!r} the function returns None.")
