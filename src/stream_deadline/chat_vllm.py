"""`ChatVllm`: LangChain's `ChatOpenAI` for an in-house vLLM, with a time-out that a stream cannot talk its way around."""

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, cast

from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils import secret_from_env
from langchain_openai import ChatOpenAI
from pydantic import Field, SecretStr, model_validator

from stream_deadline.errors import StreamDeadlineExceeded


class ChatVllm(ChatOpenAI):
    """`ChatOpenAI`, except that `timeout` also bounds a streamed answer as a whole.

    Elapsed time is looked at whenever a chunk arrives, on the monotonic clock and from the moment the call starts; it does not
    matter which task asks for the chunk, so `model.astream` and every chain around it are bounded alike.

    The bound is checked at each chunk. Between two chunks the socket's own time-out applies, which `timeout` sets as well.

    Args:
        timeout: seconds a streamed answer may take in all, and seconds that one read of the socket may take. None: no bound.
        stream_timeout: seconds a streamed answer may take in all, where it should differ from `timeout`. None: no bound.
        api_key: taken from OPENAI_API_KEY when not given, else a placeholder, since an in-house vLLM rarely asks for one.

    Raises:
        StreamDeadlineExceeded: while streaming, at the first chunk after the deadline.
        ValueError: when made with a bound that is zero, negative, not a number or not finite.
    """

    stream_timeout: float | None = None
    openai_api_key: SecretStr | None = Field(
        alias="api_key", default_factory=secret_from_env("OPENAI_API_KEY", default="vllm-only-base-model")
    )

    @model_validator(mode="before")
    @classmethod
    def _bound_the_stream(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        timeout = values.get("timeout", values.get("request_timeout"))
        if "stream_timeout" not in values and timeout is not None:
            if not isinstance(timeout, int | float):
                # A tuple or an httpx.Timeout bounds phases of a request; which of them is the whole stream's is not ours to guess.
                raise ValueError(
                    f"timeout={timeout!r} does not say how long a stream may take in all; give stream_timeout=… too."
                )
            values = {**values, "stream_timeout": timeout}
        bound = values.get("stream_timeout")
        if isinstance(bound, int | float) and not (bound > 0 and math.isfinite(bound)):
            raise ValueError(f"stream_timeout must be a positive number of seconds, or None for no bound; got {bound}.")
        return values

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        watch = _Watch(self.stream_timeout)
        chunks = super()._astream(*args, **kwargs)
        try:
            async for chunk in chunks:
                watch.check()
                yield chunk
        finally:
            # Closed here, the connection goes when the deadline does. CPython's reference counting happens to do the same, but
            # that is no promise of the language.
            await cast(AsyncGenerator[ChatGenerationChunk], chunks).aclose()

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        watch = _Watch(self.stream_timeout)
        chunks = super()._stream(*args, **kwargs)
        try:
            for chunk in chunks:
                watch.check()
                yield chunk
        finally:
            cast(Generator[ChatGenerationChunk], chunks).close()


class _Watch:
    """The elapsed time of one call. Each call has its own; the model has none."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._started = time.monotonic()
        self._chunks = 0

    def check(self) -> None:
        elapsed = time.monotonic() - self._started
        if self._limit is not None and elapsed > self._limit:
            raise StreamDeadlineExceeded(self._limit, elapsed, self._chunks)
        self._chunks += 1
