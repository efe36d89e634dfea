"""What happened to each request, so that a test can ask the server and not only the client."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Literal

End = Literal["running", "finished", "client left"]


@dataclass
class Entry:
    """One request. Times are `time.monotonic()` in seconds: on Linux the same clock in every process of the machine.

    None means: did not happen (yet). `tokens` is what the engine made; `tokens_after_left` those made after the client had gone.
    """

    id: str
    path: str
    scenario: str
    stream: bool
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

    def open(self, id: str, path: str, scenario: str, stream: bool) -> Entry:
        entry = Entry(id, path, scenario, stream, arrived=monotonic())
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        self._entries.clear()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def as_json(self) -> dict[str, Any]:
        return {"now": monotonic(), "requests": [asdict(entry) for entry in self._entries]}
