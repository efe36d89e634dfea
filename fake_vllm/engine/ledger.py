"""What happened to each request, so that a test can ask the server and not only the client."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Literal

End = Literal["running", "finished", "client left", "refused", "reset", "closed", "failed"]


@dataclass(slots=True)
class Entry:
    """One request. Times are `time.monotonic()` in seconds: on Linux the same clock in every process of the machine.

    None means: did not happen (yet). In the order of events:

    arrived: the request was there, whole. queued: it asked for a slot. started: it got one. headers: the response headers were sent.
    first_token, last_token: the engine made them. client_left: the connection was closed by the other side. slot_freed: the engine is
    done with it. over: the answer has its end.

    `number` counts the requests to this server, `attempt` those with this scenario text; both from 1, since the ledger was cleared.
    `turn`: which request over its connection it is, from 1; from 2 on the client has used a connection again.
    `status`: of the answer; None until there are headers. `bytes`: written to the connection. `tokens`: what the engine made;
    `tokens_after_left`: those made after the client had gone. Of the ends, "refused", "reset", "closed" and "failed" are a scenario's doing, or
    that of a full queue.
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
    """The newest `keep` requests, oldest first; older ones are forgotten, so that a server can run for ever."""

    def __init__(self, keep: int = 10_000) -> None:
        self.watchers: set[Callable[[Entry], None]] = set()
        """Each is called with an entry whenever one of its events has happened; tokens between the first and the last are none."""
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._attempts: dict[str, int] = {}
        self._number = 0

    def open(
        self, id: str, path: str, scenario: str, *, stream: bool, prompt_tokens: int, arrived: float, turn: int = 1
    ) -> Entry:
        if scenario not in self._attempts and len(self._attempts) == self._entries.maxlen:
            del self._attempts[next(iter(self._attempts))]
        self._attempts[scenario] = attempt = self._attempts.get(scenario, 0) + 1
        self._number += 1
        entry = Entry(id, path, scenario, stream, self._number, attempt, prompt_tokens, arrived, turn)
        self._entries.append(entry)
        self.tell(entry)
        return entry

    def tell(self, entry: Entry) -> None:
        """Something has happened to this request."""
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
        """The entries as JSON; only those whose id ends with `id`, if given: a client can choose the end with `x-request-id`."""
        return {"now": monotonic(), "requests": [asdict(entry) for entry in self._entries if entry.id.endswith(id)]}
