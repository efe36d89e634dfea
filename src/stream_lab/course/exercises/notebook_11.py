"""The exercises of notebook 11: unblock a handler, and read four symptoms."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2

from stream_lab.course.exercise import Wrong, exercise

PIECES = ("Because ", "the ", "loop ", "is ", "free.")
GAP = 0.06  # seconds that each piece blocks


class Blocking:
    """A client library that blocks, and remembers in which threads it ran."""

    def __init__(self) -> None:
        self.called_in: set[int] = set()
        self.pulled_in: set[int] = set()

    def ask(self, tokens: int = len(PIECES)) -> Iterator[str]:
        """Return a generator of pieces, each of which takes a while."""
        self.called_in.add(threading.get_ident())
        return self._pieces()

    def _pieces(self) -> Iterator[str]:
        for piece in PIECES:
            self.pulled_in.add(threading.get_ident())
            time.sleep(GAP)
            yield piece


@exercise(
    "11.1",
    hints=(
        "The loop is free only while the handler awaits something, or while it runs elsewhere.",
        "A thread helps if the whole loop over the pieces runs in it, not only the call of `ask`.",
    ),
    idea="FastAPI runs a handler without `async` in a thread; asyncio.to_thread runs one function "
    "in a thread, and that function must do the joining.",
)
async def unblocked(make: Any) -> None:
    """Check that a neighbour on the same loop is not held up by the handler."""
    if not callable(make) or hasattr(make, "router"):
        raise Wrong("Answer with the function that makes the application.")
    blocking = Blocking()
    app = make(blocking.ask)
    if app is None:
        raise Wrong("The function returns None; it must return the application.")
    longest = 0.0

    async def neighbour() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    streaming = asyncio.create_task(neighbour())
    try:
        await asyncio.sleep(0.05)
        answer = await _request(app)
        await asyncio.sleep(0.02)
    except TypeError as error:
        if "generator" not in str(error):
            raise
        raise Wrong(
            "`ask` returns a plain generator, which takes neither `await` nor `async for`."
        ) from None
    finally:
        streaming.cancel()
    _same_answer(answer)
    here = threading.get_ident()
    if here not in blocking.pulled_in:
        return
    if here not in blocking.called_in:
        raise Wrong(
            "The thread only called `ask`, which returns a generator at once. The pieces are still "
            "pulled on the event loop."
        )
    if longest < len(PIECES) * GAP * 0.8:
        raise Wrong(
            "The loop gets a turn between two pieces, but each piece still blocks it: the "
            "neighbour's stream stutters."
        )
    raise Wrong("The neighbour's stream stood still until the answer was there.")


async def _request(app: Any) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
        return await client.get("/answer", params={"tokens": len(PIECES)})


def _same_answer(answer: httpx2.Response) -> None:
    if answer.status_code in (404, 405, 422):
        raise Wrong(
            f"GET /answer?tokens=5 has status {answer.status_code}; keep the path and its argument."
        )
    try:
        body = answer.json()
    except ValueError:
        raise Wrong('The answer is no longer the JSON {"text": …}.') from None
    if not isinstance(body, dict) or body.get("text") != "".join(PIECES):
        raise Wrong('The answer is not the whole text as JSON, {"text": …}.')


CHOICES = (
    "longer timeout",
    "other worker class",
    "unblock the code",
    "more memory",
    "state outside the workers",
    "more workers",
)
RIGHT = {
    "A": {"longer timeout", "other worker class"},
    "B": {"unblock the code"},
    "C": {"unblock the code"},
    "D": {"state outside the workers"},
}
MISTAKES = {
    ("A", "unblock the code"): "a sync worker always blocks while it answers. That is its design",
    ("A", "more workers"): "each of them would be killed in the same way",
    ("B", "longer timeout"): "the worker would live, and its streams would stand still instead. "
    "What kept the loop busy for so long?",
    ("B", "other worker class"): "the loop is blocked by the code, and another loop would be, too",
    ("B", "more workers"): "fewer streams die with each worker, but the fault stays",
    ("C", "more memory"): "memory is gunicorn's guess for every SIGKILL, including its own",
    ("C", "longer timeout"): "the worker would live, and its streams would stand still instead",
    ("C", "other worker class"): "uvicorn's worker would die, too, of SIGABRT: the code blocks it",
    ("D", "more workers"): "more workers have more memories that know nothing of each other",
    ("D", "more memory"): "the memory is large enough, but there are four of them",
    ("D", "longer timeout"): "no worker was killed: another one answered",
}


@exercise(
    "11.2",
    hints=(
        "Ask of each log line what was measured: a heartbeat, or memory?",
        "An event loop sends the heartbeat beside its requests, unless the loop is blocked.",
    ),
    idea="--timeout limits a request only for sync workers. For the others it finds code that "
    "blocks the loop. A new worker starts with an empty memory.",
)
def symptoms(repairs: Any) -> None:
    """Check the repair that was chosen for each symptom."""
    if not isinstance(repairs, dict) or set(repairs) != set(RIGHT):
        raise Wrong("The answer is a dict with the keys A, B, C and D.")
    if all(choice is ... or choice is None for choice in repairs.values()):
        raise NotImplementedError
    missing = [name for name, choice in repairs.items() if choice is ... or choice is None]
    if missing:
        raise Wrong(f"{', '.join(missing)} has no repair yet.")
    for name, choice in repairs.items():
        said = " ".join(choice.lower().split()) if isinstance(choice, str) else choice
        if said not in CHOICES:
            raise Wrong(f"{name}: {choice!r} is not among the repairs: {', '.join(CHOICES)}.")
        if said not in RIGHT[name]:
            why = MISTAKES.get((name, said), "that does not touch the cause")
            raise Wrong(f"{name}: {why}{'' if why.endswith('?') else '.'}")
