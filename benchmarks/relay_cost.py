"""The cost of `DeadlineMiddleware` per chunk, and how fast it frees the GPU.

`python benchmarks/relay_cost.py [--chunks N] [--rounds N] [--streams N …]` prints

* microseconds per chunk of a Starlette `StreamingResponse`, without and with the middleware, in
turns
  in one process, for a server that costs nothing. The least of the rounds counts, since noise only
  adds.
* milliseconds from the ERP server's disconnect to the free slot of the bundled fake, through the
  repaired AI server of the notebooks, for N streams that are dropped at once, by the ledger's
  clock.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, MutableMapping
from statistics import median
from typing import Any

from starlette.responses import StreamingResponse

from stream_deadline.asgi import App, DeadlineMiddleware
from stream_lab import Endpoint, bundled
from stream_lab.relay import Caller, Relay
from stream_lab.relay.app import PATHS

CHUNK = "data: " + "x" * 200 + "\n\n"
GAP = 1.0  # seconds; LangChain takes half a millisecond for a chunk, and 200 streams share a loop
THREADS = 40  # as many blocking handlers does anyio run at once


def streaming(chunks: int) -> App:
    """Return an application that sends N chunks at once."""

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        async def body() -> AsyncIterator[str]:
            for _ in range(chunks):
                yield CHUNK

        await StreamingResponse(body(), media_type="text/event-stream")(scope, receive, send)

    return app


async def one(app: App) -> float:
    """Return the seconds for one request to an application, without the cost of a server."""
    first: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": b"", "more_body": False}
    ]

    async def receive() -> MutableMapping[str, Any]:
        return first.pop() if first else await asyncio.Future()

    async def send(message: MutableMapping[str, Any]) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"x-timeout-ms", b"60000")],
        "asgi": {"spec_version": "2.3"},
    }
    began = time.perf_counter()
    await app(scope, receive, send)
    return time.perf_counter() - began


def per_chunk(chunks: int, rounds: int) -> tuple[float, float]:
    """Return microseconds per chunk, bare and with the middleware."""
    bare = streaming(chunks)
    bounded = DeadlineMiddleware(bare)
    took: dict[App, list[float]] = {bare: [], bounded: []}
    for _ in range(rounds):
        for app, times in took.items():
            times.append(asyncio.run(one(app)))
    return tuple(min(times) / chunks * 1e6 for times in took.values())  # type: ignore[return-value]


def freed(relay: Relay, gpu: Endpoint, path: str, streams: int) -> list[float]:
    """Return the milliseconds from the disconnect to the free slot, for each stream."""
    known = len(gpu.ledger())
    callers = [Caller(relay, path) for _ in range(streams)]
    while sum(entry["tokens"] > 0 for entry in gpu.ledger()[known:]) < streams:
        time.sleep(0.2)
    left = [caller.leave() for caller in callers]
    while not all(entry["slot_freed"] for entry in gpu.ledger()[known:]):
        if time.monotonic() - left[-1] > 30:
            raise SystemExit(f"{path}: some of {streams} slots were not free after 30 s.")
        time.sleep(0.2)
    # The streams cannot be told apart here. All disconnect within a few milliseconds, and the first
    # moment is the strictest.
    return [(entry["slot_freed"] - left[0]) * 1000 for entry in gpu.ledger()[known:]]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--chunks", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--streams", type=int, nargs="+", default=[1, 200])
    given = options.parse_args()
    bare, bounded = per_chunk(given.chunks, given.rounds)
    print("| per chunk of a StreamingResponse | µs |\n|---|---|")
    print(
        f"| bare | {bare:.2f} |\n| with the middleware | {bounded:.2f} |\n| more | "
        f"{bounded - bare:.2f} |\n"
    )
    print("| streams dropped at once | path | free after, ms: median | worst |\n|---|---|---|---|")
    with (
        bundled("endless", gap=GAP, max_num_seqs=max(given.streams)) as gpu,
        Relay("after", gpu) as relay,
    ):
        for streams in given.streams:
            for path in PATHS:
                if path == "/blocking" and streams > THREADS:
                    continue
                times = [
                    ms
                    for _ in range(5 if streams == 1 else 1)
                    for ms in freed(relay, gpu, path, streams)
                ]
                print(
                    f"| {streams} | {path} | {median(times):.1f} | {max(times):.1f} |", flush=True
                )


if __name__ == "__main__":
    main()
