"""How often a stream loses the one cancellation of `asyncio.timeout`.

`python benchmarks/lost_cancellations.py [trials] [base_url]` runs short direct streams (one task,
no chain), each inside one scope that ends at a random moment, with LangChain's
`stream_chunk_timeout` off and with its default. Without an address, it starts the bundled fake at 5
ms a token.

LangChain waits for each chunk with `asyncio.wait_for`. On Python 3.11 that swallows a cancellation
which arrives in the same turn of the loop as the chunk (python/cpython#86296, fixed in 3.12).
"""

import asyncio
import platform
import random
import sys
import time
from importlib.metadata import version

from langchain_openai import ChatOpenAI
from rich.progress import track

from stream_lab import Endpoint, bundled

GAP = 0.005


async def lost(model: ChatOpenAI, limit: float) -> bool:
    """Tell whether a scope around a direct stream had no effect for 0.2 s more."""
    started = time.monotonic()
    stream = model.astream("Hi")
    try:
        async with asyncio.timeout(limit):
            async for _ in stream:
                if time.monotonic() - started > limit + 0.2:
                    return True
    except TimeoutError:
        return False
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
    raise RuntimeError("the fake stopped by itself")


async def main(trials: int, base_url: str | None) -> None:
    chance = random.Random(1)
    print(
        f"Python {platform.python_version()}, langchain-openai {version('langchain-openai')}, "
        f"{trials} streams each"
    )
    with Endpoint(base_url) if base_url else bundled("endless", gap=GAP) as server:
        print(repr(server).splitlines()[0])
        for name, options in {"off": {"stream_chunk_timeout": None}, "as it comes": {}}.items():
            model = ChatOpenAI(**server.settings, **options)
            count = 0
            for _ in track(range(trials), description=f"stream_chunk_timeout {name}"):
                count += await lost(model, 0.3 + chance.random() * GAP * 4)
            print(f"stream_chunk_timeout {name}: {count} of {trials} cancellations lost")


if __name__ == "__main__":
    asyncio.run(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 40,
            sys.argv[2] if len(sys.argv) > 2 else None,
        )
    )
