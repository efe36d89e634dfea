"""A record of what happened to each request, which tests can read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import takewhile
from time import monotonic
from typing import Literal

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
        method: the method of the request.
        retry: the number of the retry that the client says it is, in `x-stainless-retry-count`. 0:
            the first attempt, or the client does not say.
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
        end: how it ended. "reset", "closed" and "failed" are due to a scenario; "refused" also to
            a full queue, or to a request that vLLM answers with an error.
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
    method: str = "POST"
    retry: int = 0
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


FIELDS = tuple(field.name for field in fields(Entry))


def as_json(entry: Entry) -> bytes:
    """Return an entry as JSON."""
    return json.dumps(
        {name: getattr(entry, name) for name in FIELDS}, separators=(",", ":")
    ).encode()


class _Record:
    """An entry, the revision of its newest event, and its final JSON."""

    __slots__ = ("entry", "json", "revision")

    def __init__(self, entry: Entry, revision: int) -> None:
        self.entry, self.revision = entry, revision
        self.json: bytes | None = None

    @property
    def settled(self) -> bool:
        """Tell whether nothing can change in the entry any more."""
        entry = self.entry
        return entry.over is not None and (entry.started is None or entry.slot_freed is not None)

    def as_json(self) -> bytes:
        if self.json is not None:
            return self.json
        text = as_json(self.entry)
        if self.settled:
            self.json = text
        return text


class Ledger:
    """The newest `keep` requests, oldest first, so that a server can run for ever.

    Attributes:
        watchers: functions that are called with an entry after each event but tokens after the
            first.
        revision: counts these events; a reader that has seen one revision asks for later ones.
        epoch: counts how often the ledger was cleared.
        on_clear: functions that are called when it was cleared.
    """

    def __init__(self, keep: int = 10_000) -> None:
        self.watchers: set[Callable[[Entry], None]] = set()
        self.on_clear: set[Callable[[], None]] = set()
        self.revision = self.epoch = 0
        self._keep = keep
        self._records: dict[int, _Record] = {}  # by number, in order
        self._by_event: dict[int, _Record] = {}  # the one with the newest event last
        self._unsettled: list[_Record] = []
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
        method: str = "POST",
        retry: int = 0,
    ) -> Entry:
        if scenario not in self._attempts and len(self._attempts) == self._keep:
            del self._attempts[next(iter(self._attempts))]
        self._attempts[scenario] = attempt = self._attempts.get(scenario, 0) + 1
        return self._add(
            Entry(
                id,
                path,
                scenario,
                stream,
                self._number + 1,
                attempt,
                prompt_tokens,
                arrived,
                turn,
                method,
                retry,
            )
        )

    def upcoming(self, scenario: str) -> tuple[int, int]:
        """Return the attempt and the number that the next request with this scenario will have."""
        return self._attempts.get(scenario, 0) + 1, self._number + 1

    def refused(self, path: str, method: str, status: int, turn: int, retry: int) -> Entry:
        """Record a request that was answered with an error before it had a scenario."""
        now = monotonic()
        entry = Entry("", path, "", False, self._number + 1, 1, 0, now, turn, method, retry)
        entry.status, entry.end, entry.headers, entry.over = status, "refused", now, now
        return self._add(entry)

    def _add(self, entry: Entry) -> Entry:
        self._number += 1
        if len(self._records) == self._keep:
            oldest = next(iter(self._records))
            del self._records[oldest], self._by_event[oldest]
        self._records[entry.number] = record = _Record(entry, self.revision)
        if not record.settled:
            self._unsettled.append(record)
            if len(self._unsettled) > self._keep:
                _ = self.running
        self.tell(entry)
        return entry

    def tell(self, entry: Entry) -> None:
        """Notify the watchers of an event of a request that is listed (not number 0)."""
        if not entry.number:
            return
        self.revision += 1
        # The entry may be older than the newest `keep`.
        if (record := self._records.get(entry.number)) is not None and record.entry is entry:
            record.revision, record.json = self.revision, None
            self._by_event.pop(entry.number, None)
            self._by_event[entry.number] = record
        for watcher in tuple(self.watchers):
            watcher(entry)

    def clear(self) -> None:
        """Forget the requests that are over, and count again from 1.

        What still runs is kept, since it holds a slot; the count then goes on from there.
        """
        self._records = {
            number: record for number, record in self._records.items() if not record.settled
        }
        self._by_event = dict(self._records)
        self._attempts.clear()
        self._number = max(self._records, default=0)
        self.epoch += 1
        self.revision += 1
        for call in tuple(self.on_clear):
            call()

    def __iter__(self) -> Iterator[Entry]:
        return (record.entry for record in self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    @property
    def running(self) -> bool:
        """Tell whether a request is not over; its token counts change without an event."""
        self._unsettled = [record for record in self._unsettled if not record.settled]
        return bool(self._unsettled)

    def page(self, *, id: str = "", after: int | None = None) -> bytes:
        """Return entries as a JSON object, with the time and the revision.

        Args:
            id: the end of the ids to show; `x-request-id` sets a part of the id.
            after: the revision that the reader has seen; shown are the requests with later events,
                and those that run. None: all.
        """
        records = self._records.values() if after is None else self._since(after)
        shown = [record.as_json() for record in records if not id or record.entry.id.endswith(id)]
        head = f'{{"now":{monotonic()!r},"revision":{self.revision},"epoch":{self.epoch}'
        return head.encode() + b',"requests":[' + b",".join(shown) + b"]}"

    def _since(self, revision: int) -> list[_Record]:
        """Return the records with a later event, and those that are not settled, in order."""
        newest = takewhile(
            lambda record: record.revision > revision, reversed(self._by_event.values())
        )
        changed = {record.entry.number: record for record in newest}
        if self.running:
            changed |= {record.entry.number: record for record in self._unsettled}
        return [changed[number] for number in sorted(changed)]
