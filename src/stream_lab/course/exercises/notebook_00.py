"""The exercises of notebook 00: read an error's sentence, and leave a stream."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from stream_lab.course.exercise import Wrong, exercise
from stream_lab.experiment.endpoint import EndpointError, open_endpoint

ADDRESSES = ("http://127.0.0.1:9/v1", "localhost:8000")
"""A port where nothing listens, and an address that is none."""
MOST = 100
"""Chunks after which a reader should have left."""


@exercise(
    "00.1",
    hints=(
        "`try:` the call, `except EndpointError as error:` and return its text.",
        "The text of an error is `str(error)`.",
    ),
    idea="catch the EndpointError and return str() of it",
)
def complaint(answer: Callable[..., Any]) -> None:
    """Try addresses without a server."""
    if not callable(answer):
        raise Wrong("`complaint` is to be a function with the parameter address.")
    for address in ADDRESSES:
        try:
            open_endpoint(address).close()
        except EndpointError as error:
            expected = str(error)
        try:
            found = answer(address)
        except EndpointError:
            raise Wrong("The EndpointError came out of the function. Catch it there.") from None
        if inspect.iscoroutine(found):
            found.close()
            raise Wrong("`open_endpoint` needs no `await`: write the function with `def`.")
        if found is None:
            raise Wrong("The function returns None. Return the sentence, do not only print it.")
        if isinstance(found, EndpointError):
            raise Wrong("That is the error itself. Its text is `str(error)`.")
        if found != expected:
            raise Wrong(f"For {address!r}, the sentence is another one than {str(found)[:60]!r}.")


class Endless(BaseChatModel):
    """A model that never stops; some of its chunks have no text.

    Attributes:
        sent: How many chunks it has sent.
    """

    sent: int = 0

    @property
    def _llm_type(self) -> str:
        return "endless"

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        while True:
            await asyncio.sleep(0)
            if self.sent > MOST:
                raise Wrong(f"The loop read more than {MOST} chunks. Leave it with `break`.")
            yield ChatGenerationChunk(message=AIMessageChunk(content=self.text_of(self.sent)))
            self.sent += 1

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise Wrong("That waits for the whole answer, and the model never stops. Use `astream`.")

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate()

    @staticmethod
    def text_of(number: int) -> str:
        """Return the text of a chunk: none in the first, and in each fifth one."""
        return "" if number % 5 == 0 else f"word{number} "


@exercise(
    "00.2",
    hints=(
        "Count the pieces that you keep, and not the chunks that arrive.",
        "`if chunk.text:` keep it; when there are `count` of them, `break`; then join them.",
    ),
    idea="an `async for` that keeps each text which is not empty, and breaks at the count",
)
async def first_pieces(answer: Callable[..., Any]) -> None:
    """Try two counts on a model that never stops."""
    if not callable(answer):
        raise Wrong("`first_pieces` is to be a function with three parameters.")
    for count in (7, 1):
        model = Endless()
        found = answer(model, "What is a deadline?", count)
        if not inspect.isawaitable(found):
            raise Wrong("`first_pieces` is to be an `async def` function.")
        found = await found
        texts = [text for text in map(model.text_of, range(MOST)) if text]
        if found is None:
            raise Wrong("The function returns None. Return the joined text.")
        if isinstance(found, list):
            raise Wrong("That is a list. Join its pieces into one string.")
        if not isinstance(found, str):
            raise Wrong(f"The answer is a string, and that is of type {type(found).__name__}.")
        pieces = found.split()
        if found == "".join(texts[:count]) or pieces == "".join(texts[:count]).split():
            continue
        if found == "".join(model.text_of(number) for number in range(count)):
            raise Wrong("That counts chunks without text, too.")
        raise Wrong(f"{count} pieces were asked for, and {len(pieces)} came back: {found[:60]!r}.")
