"""A record of what happened to each request, which tests can read."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Literal

End = Literal["running", "finished", "client left", "refused", "reset", "closed", "failed"]


@dataclass(slots=True)
class Entry:
    """One request. Times are seconds of `time.monotonic()`, which all processes share on Linux.

    A time of None means that the event has not happened.

    Attributes:
        id: the id of the answer.
        path: the path of the request.
        scenario: the text of its scenario.
        stream: whether the answer is streamed.
        number: the number of the request to this server, from 1, since the ledger was cleared.
        attempt: the number of the request with this scenario text, counted in the same way.
        prompt_tokens: the length of the prompt.
        arrived: when the whole request had arrived.
        turn: the number of the request over its connection, from 1; from 2 on, the client has
            reused the connection.
        queued: when it began to wait for a slot.
        started: when it got a slot.
        headers: when the response headers were sent.
        first_token: when the engine made the first token.
        last_token: when the engine made the newest token.
        client_left: when the client closed the connection.
        slot_freed: when the engine was done with it.
        over: when the response ended.
        status: the status of the response. None: no headers yet.
        bytes: the bytes written to the connection.
        tokens: the tokens that the engine made.
        tokens_after_left: the tokens that the engine made after the client had disconnected.
        end: how it ended. "refused", "reset", "closed" and "failed" are due to a scenario or a full
            queue.
    """

    id: str
    path: str
    scenario: str
    stream: bool
    number: int
    attempt: int
    prompt_tokens: int
    arrived: float
    turn: int = 1
    queued: float | None = None
    started: float | None = None
    headers: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    client_left: float | None = None
    slot_freed: float | None = None
    over: float | None = None
    status: int | None = None
    bytes: int = 0
    tokens: int = 0
    tokens_after_left: int = 0
    end: End = "running"


class Ledger:
    """The newest `keep` requests, oldest first, so that a server can run for ever.

    Attributes:
        watchers: functions that are called with an entry after each event but tokens after the
            first.
    """

    def __init__(self, keep: int = 10_000) -> None:
        self.watchers: set[Callable[[Entry], None]] = set()
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._attempts: dict[str, int] = {}
        self._number = 0

    def open(
        self,
        id: str,
        path: str,
        scenario: str,
        *,
        stream: bool,
        prompt_tokens: int,
        arrived: float,
        turn: int = 1,
    ) -> Entry:
        if scenario not in self._attempts and len(self._attempts) == self._entries.maxlen:
            del self._attempts[next(iter(self._attempts))]
        self._attempts[scenario] = attempt = self._attempts.get(scenario, 0) + 1
        self._number += 1
        entry = Entry(
            id, path, scenario, stream, self._number, attempt, prompt_tokens, arrived, turn
        )
        self._entries.append(entry)
        self.tell(entry)
        return entry

    def tell(self, entry: Entry) -> None:
        """Notify the watchers of an event of this request."""
        for watcher in tuple(self.watchers):
            watcher(entry)

    def clear(self) -> None:
        """Forget all requests, and count again from 1."""
        self._entries.clear()
        self._attempts.clear()
        self._number = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def as_json(self, id: str = "") -> dict[str, Any]:
        """Return the entries whose id ends with `id`; `x-request-id` sets a part of the id."""
        return {
            "now": monotonic(),
            "requests": [asdict(entry) for entry in self._entries if entry.id.endswith(id)],
        }
