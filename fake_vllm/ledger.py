"""What happened to each request, so that a test can ask the server and not only the client."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Literal

End = Literal["running", "finished", "client left", "refused", "reset", "failed"]


@dataclass
class Entry:
    """One request. Times are `time.monotonic()` in seconds: on Linux the same clock in every process of the machine.

    None means: did not happen (yet). `tokens` is what the engine made; `tokens_after_left` those made after the client had gone.
    `attempt` says which request with this scenario text it is, from 1. Of the ends, "refused", "reset" and "failed" are a scenario's
    doing.
    """

    id: str
    path: str
    scenario: str
    stream: bool
    attempt: int
    arrived: float
    started: float | None = None
    first_token: float | None = None
    client_left: float | None = None
    slot_freed: float | None = None
    tokens: int = 0
    tokens_after_left: int = 0
    end: End = "running"

    def made_token(self) -> None:
        self.tokens += 1
        if self.first_token is None:
            self.first_token = monotonic()
        if self.client_left is not None:
            self.tokens_after_left += 1


class Ledger:
    """The newest `keep` requests, oldest first; older ones are forgotten, so that a server can run for ever."""

    def __init__(self, keep: int = 10_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._attempts: dict[str, int] = {}

    def open(self, id: str, path: str, scenario: str, stream: bool) -> Entry:
        if scenario not in self._attempts and len(self._attempts) == self._entries.maxlen:
            del self._attempts[next(iter(self._attempts))]
        self._attempts[scenario] = attempt = self._attempts.get(scenario, 0) + 1
        entry = Entry(id, path, scenario, stream, attempt, arrived=monotonic())
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        self._entries.clear()
        self._attempts.clear()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def as_json(self, id: str = "") -> dict[str, Any]:
        """The entries as JSON; only those whose id ends with `id`, if given: a client can choose the end with `x-request-id`."""
        return {"now": monotonic(), "requests": [asdict(entry) for entry in self._entries if entry.id.endswith(id)]}
