"""The player of an answer that another server makes."""

import json
from time import monotonic
from typing import Any, Final

from fake_vllm.api.failed_writer import FailedWriter
from fake_vllm.engine.ledger import Entry
from fake_vllm.http.exchange import Exchange
from fake_vllm.relay.call import Call, Head
from fake_vllm.relay.request import NOT_PASSED_ON, RelayedRequest
from fake_vllm.relay.sse import EventSplitter, tokens_in
from fake_vllm.response.context import ServerContext
from fake_vllm.response.framing import chunked, failed, last_chunk, whole
from fake_vllm.response.player import StepPlayer
from fake_vllm.response.response import Response
from fake_vllm.response.steps import WAIT, Steps
from fake_vllm.scenarios.base import Cut, Failure, Scenario

NO_WORDS: Final = FailedWriter([])
"""The writer of an answer whose words the fake does not choose."""
EVENTS: Final = "text/event-stream"


class RelayPlayer(StepPlayer):
    """A player of an answer that comes from another server, or its recording."""

    __slots__ = ("_call", "_scenario")

    def __init__(
        self,
        server: ServerContext,
        exchange: Exchange,
        request: RelayedRequest,
        entry: Entry,
        scenario: Scenario,
        call: Call,
    ) -> None:
        """Make the layers of the response; nothing is asked or sent before `start`."""
        self._call, self._scenario = call, scenario
        super().__init__(
            server,
            Response(exchange, entry, server, NO_WORDS, request.model, request.most_tokens),
        )

    def _assembled(self) -> Steps:
        response, scenario = self._response, self._scenario
        payloads = self._layer(scenario.payloads(self._layer(self._payloads()), response))
        return self._layer(scenario.packets(self._layer(self._framed(payloads)), response))

    def _framed(self, payloads: Steps) -> Steps:
        """Yield the packets; the other server is asked here, and let go at the end."""
        response, call, entry = self._response, self._call, self._entry
        metrics = self._server.engine.metrics
        try:
            self._scenario.before(response)
            entry.queued = entry.started = monotonic()
            metrics.running += 1
            metrics.prefilling += entry.prompt_tokens
            call.start(self._wake)
            self._server.ledger.tell(entry)
            while (head := call.head) is None:
                if call.error is not None:
                    raise Failure(502, "UpstreamError", call.error, end="failed")
                if call.end is not None:
                    raise Cut(clean=call.end == "closed")
                yield WAIT
            response.stream = head.get("content-type").startswith(EVENTS)
            if response.stream or _comes_in_pieces(head):
                yield response.now(), self._head(head, "transfer-encoding", "chunked"), 0
                yield from chunked(payloads, response)
                yield 0, last_chunk(response), 0
                return
            for at, data, tokens in whole(payloads, response):
                empty = self._exchange.method == "HEAD" or response.length == 0
                if response.status is None and (data or (empty and call.end is not None)):
                    data = self._head(head, "content-length", str(response.length)) + data
                yield at, data, tokens
        except Failure as failure:
            yield from failed(failure, response, response.now())
        finally:
            if entry.started is not None:
                entry.slot_freed = monotonic()
                metrics.running -= 1
                metrics.prefilling -= 0 if entry.first_token else entry.prompt_tokens
            call.close()

    def _payloads(self) -> Steps:
        """Yield the events of a stream, or a body, as they come."""
        response, call, splitter = self._response, self._call, EventSplitter()
        head = call.head
        if head is None:
            return
        if not response.stream and not _comes_in_pieces(head):
            yield from self._whole(head)
            return
        while True:
            if data := call.take():
                if not response.stream:
                    yield response.now(), data, 1
                    continue
                for event in splitter.feed(data):
                    yield response.now(), event, tokens_in(event)
            elif call.end is None and call.error is None:
                yield WAIT
            else:
                break
        if splitter.rest:
            yield response.now(), splitter.rest, 0
        self._cut_as_there()

    def _whole(self, head: Head) -> Steps:
        """Yield a whole body in one part; its usage counts as tokens."""
        response, call = self._response, self._call
        parts: list[bytes] = []
        while True:
            if data := call.take():
                parts.append(data)
            elif call.end is None and call.error is None:
                yield WAIT
            else:
                break
        body = b"".join(parts)
        response.length = len(body)
        if call.end != "complete" or self._exchange.method == "HEAD":
            declared = head.get("content-length")
            response.length = int(declared) if declared.isdigit() else len(body) + 1
        yield response.now(), body, _usage(body)
        self._cut_as_there()

    def _cut_as_there(self) -> None:
        """End as the other server did if that was not the proper end.

        Raises:
            Cut: it was not.
        """
        if self._call.end != "complete":
            raise Cut(clean=self._call.end == "closed")

    def _head(self, head: Head, framing: str, value: str) -> bytes:
        response = self._response
        response.status = head.status
        headers = [
            (name.encode("latin-1"), text.encode("latin-1"))
            for name, text in head.headers
            if name.lower() not in NOT_PASSED_ON
        ]
        origin = self._exchange.allow_origin
        if origin is not None and not head.get("access-control-allow-origin"):
            headers.append((b"access-control-allow-origin", origin))
        if response.coder is not None:
            headers.append((b"content-encoding", response.coder.name))
        headers += [*response.headers, (framing.encode(), value.encode())]
        return self._exchange.foreign_head(head.status, head.reason, headers)


def _comes_in_pieces(head: Head) -> bool:
    """Tell whether a body without events is passed on piece by piece."""
    json_body = head.get("content-type").startswith("application/json")
    return "chunked" in head.get("transfer-encoding") and not json_body


def _usage(body: bytes) -> int:
    """Return the tokens of a whole answer, by its usage; 0: unknown."""
    try:
        value: Any = json.loads(body)
        usage = value["usage"]
        count = usage.get("completion_tokens", usage.get("output_tokens"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return 0
    return count if isinstance(count, int) and count > 0 else 0
