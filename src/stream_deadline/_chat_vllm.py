"""`ChatVllm`: LangChain's `ChatOpenAI` for vLLM, with a time-out for the whole call."""

import os
from typing import Any

from langchain_openai import ChatOpenAI

from stream_deadline._deadline_mixin import DeadlineMixin
from stream_deadline._ownership import (
    KEY_FIELDS,
    KEY_VARIABLE,
    PLACEHOLDER_KEY,
    has_own_default,
)
from stream_deadline._reasoning_chat import ReasoningChatOpenAI


class ChatVllm(DeadlineMixin, ReasoningChatOpenAI):
    """`ChatOpenAI` with a `timeout` that bounds the whole call.

    A call ends with the answer or, at the deadline, with `StreamDeadlineExceeded`. Either way the
    connection is closed by then, which is how a vLLM learns that it may stop. That holds for
    `invoke`, `stream`, `batch`, their asynchronous twins, and for the model as a part of a chain or
    an agent. It holds while the consumer is busy, and after it has stopped pulling. Retries and
    their pauses are part of the same seconds, and there is no retry once the answer has begun.

    A model's reasoning is in `additional_kwargs["reasoning_content"]`, in streams and in whole
    answers.

    An ambient `deadline` bounds the call as well; the shorter one holds. With `timeout` set,
    LangChain's own `stream_chunk_timeout` is off unless it is set too: it costs more per chunk than
    all the rest, and on Python 3.11 it can swallow a cancellation (cpython#86296).

    .. note:: What runs in the thread or event loop of the caller cannot be interrupted. A callback
        or a consumer that blocks is late by as long as it blocks, though the server is released on
        time. Nor can the look-up of a host name in a synchronous call be interrupted.

    Args:
        timeout: seconds for the whole call, connecting and retries included; None: no bound. It
            holds however it is passed: to the constructor, as a default of a subclass, by
            `model_copy` or `configurable_fields`, or per call by `model.bind(timeout=5)`. If it has
            one value for each phase, as an `httpx.Timeout` or a tuple, `stream_timeout` must say
            how long the whole may take.
        first_chunk_timeout: seconds from the start of a call to the first chunk that says
            something; None: no bound. For streams only.
        idle_timeout: seconds from such a chunk to the next, while the call waits for the server;
            None: no bound. For streams only. Reasoning says something; keep-alive comments and
            empty deltas do not.
        stream_timeout: seconds for the whole call, if that is not `timeout`; None: no bound.
            "timeout": the value of `timeout`.
        require_finish_reason: whether a stream that ends without a finish reason raises
            `AnswerCutShort`. False: for servers that never send one.
        raw_chunks: whether chunks are taken as the server sent them, which costs a third. False:
            through the SDK's objects. They are used in any case if tracing has been put around the
            SDK's calls.
        stream_usage: whether streams end with the usage, as answers in one piece do. The default is
            to ask for it.
        api_key: the default is OPENAI_API_KEY, else a placeholder, since an in-house vLLM rarely
            needs a key. A pickle leaves out a key of the environment, which the copy reads where it
            is unpickled. It holds one that was passed, so treat it as a secret then.

    Raises:
        StreamDeadlineExceeded: when a bound is reached.
        AnswerCutShort: when a stream ends without a finish reason.
        ValueError: when the model is made or called with a bound that is not a positive number of
            seconds, or that could never act; when it is made with an HTTP client that speaks
            HTTP/2.
    """

    @classmethod
    def _with_defaults(cls, values: dict[str, Any], given: frozenset[str]) -> dict[str, Any]:
        has_key = given & KEY_FIELDS or os.environ.get(KEY_VARIABLE)
        if has_key or has_own_default(cls, "openai_api_key"):
            return values
        return {**values, "api_key": PLACEHOLDER_KEY}

    def _should_stream_usage(self, stream_usage: bool | None = None, **kwargs: Any) -> bool:
        own = self.stream_usage
        if (
            own == ChatOpenAI.model_fields["stream_usage"].default
            and "stream_usage" not in self.model_fields_set
        ):
            own = None  # before langchain-openai 1.0 the default is False
        settings = [
            stream_usage,
            kwargs.get("stream_options"),
            self.model_kwargs.get("stream_options"),
            own,
        ]
        return (
            super()._should_stream_usage(stream_usage, **kwargs)
            if any(each is not None for each in settings)
            else True
        )
