"""What the clients sent, so that a test can look at it."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from fake_vllm.http.exchange import Exchange
from fake_vllm.redaction import (
    pieces_without,
    query_without_secrets,
    secrets_of,
    without,
    without_secrets,
)

MOST_BYTES = 64 * 2**20
"""The bytes of bodies that are kept; the oldest requests are forgotten first."""
MOST_REQUESTS = 10_000


class Asked(NamedTuple):
    """A request as it came.

    Attributes:
        method: the HTTP method.
        path: the path, decoded.
        query_string: the query string as it came.
        headers: the headers, with names in lower case.
        body: the bytes of the body.
        repeated: further values of headers that came several times.
    """

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    repeated: Sequence[tuple[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Return the request with its body as text, and without its keys."""
        # Here and not in `keep`, which is called for each request.
        secrets = secrets_of(self.headers, self.query_string, self.repeated)
        headers = without_secrets(self.headers)
        query = dict(parse_qsl(query_without_secrets(self.query_string)))
        body = b"".join(pieces_without([self.body], secrets))
        return {
            "method": self.method,
            "path": without(self.path, secrets),
            "query": {
                without(name, secrets): without(text, secrets) for name, text in query.items()
            },
            "headers": {
                without(name, secrets): without(text, secrets) for name, text in headers.items()
            },
            "body": body.decode("utf-8", "replace"),
        }

    def __repr__(self) -> str:
        return f"Asked({self.method} {self.path!r})"


class AskedRequests:
    """The newest requests, by their number in the ledger, within a bound of memory."""

    def __init__(self, most_bytes: int = MOST_BYTES, most_requests: int = MOST_REQUESTS) -> None:
        self._most_bytes, self._most_requests = most_bytes, most_requests
        self._asked: dict[int, Asked] = {}
        self._epochs: dict[int, int] = {}
        self._epoch = self._bytes = 0

    def keep(self, number: int, exchange: Exchange) -> None:
        """Keep a request under the number of its entry."""
        self._forget(number)
        self._asked[number] = Asked(
            exchange.method,
            exchange.path,
            exchange.query_string,
            exchange.headers,
            exchange.body,
            exchange.repeated,
        )
        self._epochs[number] = self._epoch
        self._bytes += len(exchange.body)
        while self._bytes > self._most_bytes or len(self._asked) > self._most_requests:
            self._forget(next(iter(self._asked)))

    def find(self, number: int, epoch: float | None = None) -> Asked | None:
        """Return a request. None: it was forgotten, or there was none.

        Args:
            number: the number.
            epoch: the epoch of the ledger that had this number; a later request with the same
                number is another one. None: any.
        """
        if epoch is not None and self._epochs.get(number, 0) > epoch:
            return None
        return self._asked.get(number)

    def clear(self, keep: set[int]) -> None:
        """Forget all but the requests with these numbers."""
        self._epoch += 1
        for number in self._asked.keys() - keep:
            self._forget(number)

    def _forget(self, number: int) -> None:
        if (asked := self._asked.pop(number, None)) is not None:
            del self._epochs[number]
            self._bytes -= len(asked.body)
