"""The exercises of notebook 11b: a feed that can be resumed, and a shutdown."""

import asyncio
import inspect
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from stream_lab.course.exercise import Wrong, exercise
from stream_lab.extras import require
from stream_lab.http.client import direct_client
from stream_lab.processes.serving import serve

PIECES = ("To", "be", "cut", "or", "not", "to", "be", "cut")
CUTS = (3, 5)  # pieces after which the browser's connection is cut, twice
GAP = 0.02  # seconds between two pieces
PATIENCE = 3.0  # seconds of silence after which the client gives up


class Stored:
    """A stored answer, with what the reader's code did with it."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.error: Exception | None = None

    async def after(self, number: int) -> AsyncIterator[tuple[int, str]]:
        """Yield the pieces after one, each with its number."""
        self.asked.append(number)
        if isinstance(number, int):
            for each, text in list(enumerate(PIECES, 1))[number:]:
                await asyncio.sleep(GAP)
                yield each, text


@dataclass
class Connection:
    """What one connection brought: (id, event, data) of each event, and the answer's head."""

    status: int = 0
    kind: str = ""
    events: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def pieces(self) -> list[str]:
        """Return the texts of the events that are not `done`."""
        return [_plain(data) for _, event, data in self.events if event != "done"]

    @property
    def done(self) -> bool:
        """Tell whether the event `done` came."""
        return any(event == "done" for _, event, _ in self.events)


@exercise(
    "11b.1",
    hints=(
        'Each event needs an "id": the browser repeats the last one when it comes back.',
        "The header is missing at the first request, and it is a string at the next.",
    ),
    idea='after = int(request.headers.get("last-event-id", 0)); one event for each (number, text) '
    "of stored(after), with that number as its id.",
)
async def resumed(answer: Any) -> None:
    """Check that a client that reconnects as a browser does gets each piece once."""
    require("fastapi", "sse_starlette", "uvicorn", extra="relay")
    if not callable(answer):
        raise Wrong("Answer with the function.")
    stored = Stored()
    # In a thread, since code that blocks its server would block the end of that, too.
    _judge(await asyncio.to_thread(_visit, answer, stored), stored)


def _visit(answer: Any, stored: Stored) -> list[Connection]:
    with serve(_application(answer, stored)) as served:
        return _browse(f"{served.url}/events", stored)


def _browse(url: str, stored: Stored) -> list[Connection]:
    """Read a feed as EventSource does: cut twice, to its end, and once more."""
    last = ""
    connections: list[Connection] = []
    for most in (CUTS[0], CUTS[1] - CUTS[0], None, None):
        connection = _connect(url, last, most)
        connections.append(connection)
        last = next((id for id, *_ in reversed(connection.events) if id), last)
        if stored.error or connection.status != 200 or not last:
            break
    return connections


def _connect(url: str, last: str, most: int | None) -> Connection:
    found = Connection()
    headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
    with (
        suppress(httpx2.TransportError),
        direct_client(timeout=PATIENCE) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        found.status = answer.status_code
        found.kind = answer.headers.get("content-type", "").partition(";")[0]
        for event in _events(answer.iter_lines()):
            found.events.append(event)
            if most is not None and len(found.pieces) >= most:
                break
    return found


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    id, event = "", "message"
    data: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield id, event, "\n".join(data)
            id, event, data = "", "message", []
        elif name == "id":
            id = value
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)


def _plain(data: str) -> str:
    """Return the text of a piece, which may be JSON."""
    try:
        text = json.loads(data)
    except ValueError:
        return data
    return text if isinstance(text, str) else data


def _application(answer: Any, stored: Stored) -> Any:
    from fastapi import FastAPI, Request

    app = FastAPI()

    async def events(request: Request) -> Any:
        try:
            response = answer(request, stored.after)
            response = await response if inspect.isawaitable(response) else response
            if inspect.isasyncgen(response):
                raise Wrong(
                    "The function is a generator itself. Define the generator inside, and return "
                    "EventSourceResponse(generator())."
                )
            if response is None:
                raise Wrong("The function returns None; it must return an EventSourceResponse.")
        except Exception as error:
            stored.error = error
            raise
        body = getattr(response, "body_iterator", None)
        if body is not None:
            response.body_iterator = _noting(body, stored)
        return response

    app.get("/events", response_model=None)(events)
    return app


async def _noting(body: Any, stored: Stored) -> AsyncIterator[Any]:
    try:
        async for piece in body:
            yield piece
    except Exception as error:
        stored.error = error
        raise


def _judge(connections: list[Connection], stored: Stored) -> None:
    first, later = connections[0], connections[1:]
    if isinstance(stored.error, KeyError) and "last-event-id" in str(stored.error).lower():
        raise Wrong("At the first request there is no header Last-Event-ID; use headers.get(…).")
    if any(not isinstance(number, int) for number in stored.asked):
        raise Wrong(
            f"`stored` got {next(n for n in stored.asked if not isinstance(n, int))!r}: it needs a "
            "number. A header is a string, or None if it is missing."
        )
    if stored.error is not None:
        raise stored.error
    if first.status != 200:
        raise Wrong(f"The first request has status {first.status}.")
    if first.kind != "text/event-stream":
        raise Wrong(f"The answer is of type {first.kind or 'none'}, not text/event-stream.")
    if first.pieces != list(PIECES[: CUTS[0]]):
        raise Wrong(f"The first pieces are {first.pieces}, but stored(0) begins with {PIECES[:3]}.")
    if not any(id for id, *_ in first.events):
        raise Wrong("The events have no id, so the browser has nothing to send when it comes back.")
    if later[0].status != 200:
        raise Wrong(
            f"The second request got {later[0].status}, so the browser stays away with half an "
            "answer."
        )
    _judge_seam(later[0].pieces)
    if len(later) < 3 or later[1].pieces != list(PIECES[CUTS[1] :]):
        raise Wrong(
            "After a second cut the browser gets the wrong pieces: the ids that it sends are not "
            "the numbers of `stored`."
        )
    if not later[1].done:
        raise Wrong("The event `done` is missing, so the page never closes the feed.")
    if later[2].pieces:
        raise Wrong("A browser that comes back after `done` gets pieces that it has.")


def _judge_seam(rest: list[str]) -> None:
    first, second = CUTS
    if rest == list(PIECES[: second - first]):
        raise Wrong("After the cut the answer begins again: Last-Event-ID is not used.")
    if rest == list(PIECES[first - 1 : second - 1]):
        raise Wrong("The piece that the browser read last comes twice. stored(n) begins after n.")
    if rest == list(PIECES[first + 1 : second + 1]):
        raise Wrong("A piece is missing at the seam. stored(n) begins after n, so it needs no +1.")
    if rest != list(PIECES[first:second]):
        raise Wrong(f"After the cut came {rest}, but the next pieces are {PIECES[first:second]}.")


NOTICES = 5.0  # seconds until the balancer has noticed that the probe fails
STREAM = 15.0  # seconds that a stream lasts
KILLED = 30.0  # seconds after TERM until the platform sends SIGKILL
FOREVER = 10_000.0


class Stopped(Exception):
    """Ends the reader's code at `exit` and at SIGKILL."""


class Service:
    """A service that was sent TERM, on a clock of its own."""

    def __init__(self, *, endless: bool) -> None:
        self.now = 0.0
        self.refused = self.cut = 0
        self.exited = self.killed = False
        self._endless = endless
        self._probe_failed: float | None = None
        self._accepts = True
        self._ends = [STREAM - 1, FOREVER] if endless else [STREAM - 1]

    def fail_health_probe(self) -> None:
        """Make the health probe fail from now on."""
        if self._probe_failed is None:
            self._probe_failed = self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass: requests come as long as the balancer sends them."""
        await asyncio.sleep(0)  # so that a loop without an end can be ended
        self._pass(self.now + max(0.0, float(seconds)))

    def stop_accepting(self) -> None:
        """Refuse new requests from now on."""
        self._accepts = False

    async def wait_for_streams(self, seconds: float) -> None:
        """Wait until no stream is left, or for this many seconds."""
        await asyncio.sleep(0)
        until = self.now + max(0.0, float(seconds))
        while self.now < until and self._running():
            self._pass(min(until, self.now + 0.5))

    def exit(self) -> None:
        """End the process."""
        self.cut = len([end for end in self._running() if end < FOREVER])
        if self._routed():
            self.refused += 1
        self.exited = True
        raise Stopped

    def _routed(self) -> bool:
        return self._probe_failed is None or self.now < self._probe_failed + NOTICES

    def _running(self) -> list[float]:
        return [end for end in self._ends if end > self.now]

    def _pass(self, until: float) -> None:
        while self.now < until:
            if self._routed():
                if self._accepts:
                    self._ends.append(self.now + STREAM)
                else:
                    self.refused += 1
            self.now = min(until, self.now + 0.5)
            if self.now >= KILLED:
                self.cut = len([end for end in self._running() if end < FOREVER])
                self.killed = True
                raise Stopped


@exercise(
    "11b.2",
    hints=(
        "As long as the balancer sends requests, the service must accept them.",
        "Add up your waits: with the longest stream they must stay under 30 seconds.",
    ),
    idea="Fail the probe, wait until the balancer has noticed, stop accepting, give the streams as "
    "long as the longest healthy one needs, exit.",
)
async def shut_down(answer: Any) -> None:
    """Check a shutdown, without and with a stream that never ends."""
    if not callable(answer):
        raise Wrong("Answer with the function.")
    for endless in (False, True):
        service = Service(endless=endless)
        began = time.monotonic()
        with suppress(Stopped):
            returned = answer(service)
            if not inspect.isawaitable(returned):
                raise Wrong("The function must be a coroutine function: `async def`.")
            await returned
        _judge_shutdown(service, endless=endless, seconds=time.monotonic() - began)


def _judge_shutdown(service: Service, *, endless: bool, seconds: float) -> None:
    if seconds > 1:
        raise Wrong("Wait with `await service.sleep(…)`; asyncio.sleep knows nothing of its clock.")
    if service.killed and endless and not service.refused:
        raise Wrong(
            "A stream that never ends kept the process until SIGKILL, 30 s after TERM. Bound the "
            "wait for streams."
        )
    if service.killed:
        raise Wrong("The process still ran 30 s after TERM and was killed, with its streams.")
    if not service.exited:
        raise Wrong("The process never ends: service.exit() is missing, or was not reached.")
    if service.refused:
        raise Wrong(
            "Requests were refused: the balancer still sent them. It notices a failed probe within "
            "five seconds, and the service must accept them until then."
        )
    if service.cut:
        raise Wrong(
            "A healthy stream was cut. The last request may come just before the balancer has "
            "noticed, and a stream takes up to 15 s."
        )
