"""The HTTP around a response: a head, chunks, and an end or an error."""

from random import Random

from fake_vllm.api import dumps
from fake_vllm.engine.timing import Pace
from fake_vllm.http.exchange import CHUNK, LAST_CHUNK, Headers
from fake_vllm.http.headers import STREAM_HEADERS, json_headers
from fake_vllm.response.context import ResponseContext
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import Cut, Failure


def framed(
    payloads: Steps, context: ResponseContext, response: Response, pace: Pace, random: Random
) -> Steps:
    """Yield the packets of a response.

    Args:
        payloads: the events of a stream, or the parts of a body.
        context: the parts that the response is made from.
        response: the response.
        pace: the times that the engine takes, with that of the head.
        random: the source of random times.

    Raises:
        Cut: the generation fails in a stream that cannot hold an error.
    """
    headers_at = response.now() + next(pace.headers(random))
    try:
        context.scenario.before(response)
        if response.stream:
            # As on vLLM, the head of a stream does not wait for a slot.
            yield headers_at, _head(context, response, 200, STREAM_HEADERS, chunked=True), 0
            for at, data, tokens in payloads:
                yield at, CHUNK % (len(data), data) if data else b"", tokens
        else:
            for at, data, tokens in payloads:
                if data and response.status is None:
                    data = _head(context, response, 200, json_headers(response.length)) + data
                yield max(at, headers_at) if data else at, data, tokens
    except Failure as failure:
        response.entry.end = failure.end
        if response.status is None:
            body = dumps(context.request.error_body(failure.body))
            yield (
                headers_at,
                _head(
                    context, response, failure.status, [*json_headers(len(body)), *failure.headers]
                )
                + body,
                0,
            )
            return
        events = context.request.error_events(failure.body)
        if events is None:
            raise Cut(clean=True) from None
        for data in (*response.writer.before_error(), *events):
            yield 0, CHUNK % (len(data), data), 0
    if response.stream:
        refused = context.request.failure
        if refused is not None and context.request.error_events(refused.body) is None:
            raise Cut(clean=True)
        yield 0, LAST_CHUNK, 0


def _head(
    context: ResponseContext,
    response: Response,
    status: int,
    headers: Headers,
    *,
    chunked: bool = False,
) -> bytes:
    response.status = status
    exchange = context.exchange
    return exchange.head(
        status, [*headers, *context.server.extra_headers(exchange)], chunked=chunked
    )
