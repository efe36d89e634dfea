"""Make a first call of each style on behalf of the forks of this process.

The first call loads modules and builds validators, which takes a few tenths of a second. On a busy
machine that would be most of a drill's time.
"""

import asyncio
import gc
import os
import threading
import time

from fake_vllm.testing import FakeVllm
from stream_deadline._watchdog import LONGEST_SLEEP
from stream_lab.http.certificates import one_certificate
from tests.drills.styles import CLOSE, STYLES, Ask

SCENARIOS = ("finite:tokens=2", "close:after=2")
LIMITS = (60.0, 0.001)


def _calls(ask: Ask, *, is_async: bool) -> None:
    async def all_of(scenario: str, limit: float) -> None:
        async for _ in ask(scenario, limit):
            pass

    for scenario, limit in (
        (SCENARIOS[0], LIMITS[0]),
        (SCENARIOS[1], LIMITS[0]),
        (SCENARIOS[0], LIMITS[1]),
    ):
        try:
            if is_async:
                asyncio.run(all_of(scenario, limit))
            else:
                for _ in ask(scenario, limit):
                    pass
        except Exception:  # the second is cut, and the third has no time
            continue


def warm() -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    with one_certificate(), FakeVllm("finite:tokens=2") as fake:
        for style in STYLES.values():
            _calls(style.make(fake.base_url), is_async=style.is_async)
        for close in CLOSE:
            close()
        CLOSE.clear()
    gc.collect()
    until = time.monotonic() + 40 * LONGEST_SLEEP
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.05)  # a fork takes no thread along, and so must not happen beside one


warm()
