"""Record what happened to each request, so that a test can ask the server too."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Literal

End = Literal["running", "finished", "client left", "refused", "reset", "closed", "failed"]


@dataclass(slots=True)
class Entry:
    """One request. Times are `time.monotonic()` in seconds: on Linux the same clock in all processes.

    A time of None means: it has not happened.

    Attributes:
        number: Which request to this server it is, from 1, since the ledger was cleared.
        attempt: Which request with this scenario text it is, from 1, since the ledger was cleared.
        turn: Which request over its connection it is, from 1; from 2 on the client has used a connection again.
        arrived: When the whole request was there.
        queued: When it began to wait for a slot.
        started: When it got one.
        headers: When the response headers were sent.
        first_token: When the engine made the first token.
        last_token: When it made the newest.
        client_left: When the client closed the connection.
        slot_freed: When the engine was done with it.
        over: When the response ended.
        status: Of the response; None until there are headers.
        bytes: Written to the connection.
        tokens: Made by the engine.
        tokens_after_left: Made after the client had left.
        end: How it ended. "refused", "reset", "closed" and "failed" are due to a scenario or a full queue.
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
    """The newest `keep` requests, oldest first, so that a server can run without end."""

    def __init__(self, keep: int = 10_000) -> None:
        self.watchers: set[Callable[[Entry], None]] = set()
        """Each is called with an entry when something has happened to it, tokens after the first excepted."""
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
        """Notify the watchers that something has happened to this request."""
        for watcher in tuple(self.watchers):
            watcher(entry)

    def clear(self) -> None:
        """Forget everything, and count attempts and requests from 1 again."""
        self._entries.clear()
        self._attempts.clear()
        self._number = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def as_json(self, id: str = "") -> dict[str, Any]:
        """Return the entries whose id ends with `id`, which a client chooses with `x-request-id`."""
        return {
            "now": monotonic(),
            "requests": [asdict(entry) for entry in self._entries if entry.id.endswith(id)],
        }
