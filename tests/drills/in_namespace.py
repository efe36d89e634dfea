"""Lose every packet in mid-stream, in a network namespace of its own.

Run as `unshare --map-root-user --net python -m tests.drills.in_namespace STYLE… [PLANT]`. It prints
one line of JSON for each style.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from typing import Any

from fake_vllm.testing import FakeVllm
from tests.drills.plants import PLANTS
from tests.drills.styles import STYLES
from tests.drills.victim import name_of

LIMIT = 2.0
FREED_WITHIN = 30.0
"""Seconds: the client's kernel sends the end of the connection again, each time later."""


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def lose_everything() -> None:
    command("tc", "qdisc", "replace", "dev", "lo", "root", "blackhole")


def lose_nothing() -> None:
    command("tc", "qdisc", "del", "dev", "lo", "root")


def play(name: str, server: FakeVllm) -> dict[str, Any]:
    """Lose all packets of a call after its third piece, then wait for its server."""
    style = STYLES[name]
    ask = style.make(server.base_url)
    pieces, error = 0, ""
    server.clear()
    began = time.monotonic()

    def came() -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 3:
            threading.Thread(target=lose_everything).start()

    async def pull() -> None:
        async for _ in ask("endless", LIMIT):
            came()

    try:
        if style.is_async:
            asyncio.run(pull())
        else:
            for _ in ask("endless", LIMIT):
                came()
    except Exception as failed:
        error = name_of(failed)
    took = time.monotonic() - began
    lose_nothing()
    again = time.monotonic()
    server.until_freed(FREED_WITHIN)
    return {"style": name, "error": error, "took": took, "freed": time.monotonic() - again}


def main() -> None:
    command("ip", "link", "set", "lo", "up")
    for name in sys.argv[1:]:
        if name in PLANTS:
            PLANTS[name]()
    with FakeVllm("endless", gap=0.02) as server:
        for name in sys.argv[1:]:
            if name in STYLES:
                print(json.dumps(play(name, server)), flush=True)


if __name__ == "__main__":
    main()
