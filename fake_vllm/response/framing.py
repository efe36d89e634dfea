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
        response.untouched = response.untouched and response.coder is None
        if response.stream:
            # As on vLLM, the head of a stream does not wait for a slot.
            yield headers_at, _head(response, 200, STREAM_HEADERS, chunked=True), 0
            if response.coder is None:
                for at, data, tokens in payloads:  # in place, since this runs for each event
                    yield at, CHUNK % (len(data), data) if data else b"", tokens
            else:
                yield from chunked(payloads, response)
        else:
            for at, data, tokens in whole(payloads, response):
                if data and response.status is None:
                    data = _head(response, 200, json_headers(response.length)) + data
                yield max(at, headers_at) if data else at, data, tokens
    except Failure as failure:
        yield from failed(failure, response, headers_at)
        return
    if response.stream:
        refused = context.request.failure
        if refused is not None and context.request.error_events(refused.body) is None:
            raise Cut(clean=True)
        yield 0, last_chunk(response), 0


def failed(failure: Failure, response: Response, headers_at: float) -> Steps:
    """Yield an error: a whole answer at `headers_at`, or a stream's last events.

    Raises:
        Cut: the endpoint has no events for an error, or a whole answer has begun.
    """
    response.entry.end = failure.end
    if response.status is None:
        body = dumps(response.errors.error_body(failure.body))
        head = _head(response, failure.status, [*json_headers(len(body)), *failure.headers])
        yield headers_at, head + body, 0
        return
    if not response.stream:
        raise Cut(clean=True)  # its length is declared, so nothing may follow
    events = failure.events or response.errors.error_events(failure.body)
    if events is None:
        raise Cut(clean=True)
    for data in (*response.writer.before_error(), *events):
        yield 0, chunk(data, response), 0
    yield 0, last_chunk(response), 0


def chunked(payloads: Steps, response: Response) -> Steps:
    """Yield each payload as a chunk."""
    for at, data, tokens in payloads:
        yield at, chunk(data, response), tokens


def chunk(data: bytes, response: Response) -> bytes:
    """Return bytes of a body as a chunk; the coding may hold them back."""
    if data and response.coder is not None:
        data = response.coder.encode(data)
    return CHUNK % (len(data), data) if data else b""


def last_chunk(response: Response) -> bytes:
    """Return the end of a chunked body, with what the coding has held back."""
    rest = b"" if response.coder is None else response.coder.encode(b"", last=True)
    return (CHUNK % (len(rest), rest) if rest else b"") + LAST_CHUNK


def whole(payloads: Steps, response: Response) -> Steps:
    """Yield the parts of a body of known length; a coded one is one part."""
    if response.coder is None:
        yield from payloads
        return
    parts = []
    for at, data, tokens in payloads:
        parts.append(data)
        yield at, b"", tokens
    coded = response.coder.encode(b"".join(parts), last=True)
    response.length = len(coded)
    yield response.now(), coded, 0


def _head(
    response: Response,
    status: int,
    headers: Headers,
    *,
    chunked: bool = False,
) -> bytes:
    response.status = status
    exchange, extra = response.exchange, response.server.extra_headers
    more = response.headers
    if response.coder is not None and status < 300:
        more = [(b"content-encoding", response.coder.name), *more]
    return exchange.head(status, [*headers, *more, *extra(exchange)], chunked=chunked)
