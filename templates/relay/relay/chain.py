"""The model and its prompt, with every bound of an answer."""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from pydantic import BaseModel, Field, SecretStr
from stream_deadline import ChatVllm, bounded

from relay.safe_handler import SafeHandler
from relay.settings import Settings

PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])

Chain = Runnable[dict[str, str], AIMessage]


class Question(BaseModel):
    """The body of a request."""

    question: str = Field(min_length=1)


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: the text.
        finish_reason: why the model stopped, "stop", or "length" at MAX_TOKENS. None: this is not
            the last part.
    """

    text: str
    finish_reason: str | None = None


def make_chain(settings: Settings, handlers: Iterable[BaseCallbackHandler] = ()) -> Chain:
    """Make the chain.

    Args:
        settings: the settings of the server.
        handlers: LangChain callbacks; none of them can cut or delay a stream.
    """
    model = ChatVllm(
        model=settings.model,
        base_url=settings.base_url,
        api_key=SecretStr(settings.openai_api_key or "none"),
        timeout=settings.max_timeout,
        first_chunk_timeout=settings.first_chunk_timeout,
        idle_timeout=settings.idle_timeout,
        max_tokens=settings.max_tokens,
        # For a pooled connection that had died. Clients retry by themselves, and retries multiply.
        max_retries=1,
    )
    chain: Chain = PROMPT | model
    return chain.with_config(callbacks=[SafeHandler(handler) for handler in handlers])


async def answer(chain: Chain, question: Question) -> AsyncGenerator[Piece]:
    """Yield the parts of an answer as they arrive.

    Close it with `aclosing` where its task may be cancelled between two parts: the model's server
    works until then, or until the garbage collector runs.

    Raises:
        StreamDeadlineExceeded: a bound was reached.
        openai.APIError: the model's server failed.
    """
    finish_reason = None
    stream = chain.astream({"question": question.question})
    # LangChain nests generators and leaves some of them open. Closing `bounded` ends their calls.
    async with bounded(stream) as chunks:
        async for chunk in chunks:
            finish_reason = chunk.response_metadata.get("finish_reason") or finish_reason
            if chunk.text:
                yield Piece(str(chunk.text))
    yield Piece("", finish_reason or "unknown")
