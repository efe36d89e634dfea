"""Plant each defect and soak: `python -m tests.stream_lab.soak.planted [CALLS] [SEED]`.

It prints after how many calls of the whole mix the soak was red, and why.
"""

import asyncio
import os
import sys

import pytest

from stream_lab.soak.plan import draw
from stream_lab.soak.run import Settings
from stream_lab.soak.stage import stage
from tests.stream_lab.soak.defects import DEFECTS, Defect

AS_PUBLISHED = Settings("")
"""As many calls at once as `make soak` plays, and as many in a round."""


async def red_after(defect: Defect, calls: int, seed: str) -> str:
    """Return after how many calls the defect shows, and as what."""
    async with stage() as made:
        with pytest.MonkeyPatch.context() as patch:
            defect.plant(patch)
            for first in range(1, calls + 1, AS_PUBLISHED.round):
                last = first + AS_PUBLISHED.round - 1
                plans = [draw(seed, number) for number in range(first, last + 1)]
                played = await made.play(
                    plans, tasks=AS_PUBLISHED.tasks, threads=AS_PUBLISHED.threads
                )
                if played.violations:
                    kinds = sorted({each.what.partition(":")[0][:50] for each in played.violations})
                    for each in played.violations[:40] if os.environ.get("ALL") else []:
                        print(each.what, each.plan, each.outcome and each.outcome.as_dict())
                    return f"{last} | {len(played.violations)} | {'; '.join(kinds[:3])}"
    return "GREEN"


def main() -> None:
    """Print a line for each defect; each is planted in a process of its own."""
    calls, seed = int((sys.argv[1:2] or ["600"])[0]), (sys.argv[2:3] or ["1"])[0]
    word = (sys.argv[3:4] or [""])[0]
    for defect in DEFECTS:
        if word not in defect.name:
            continue
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            print(f"| {defect.name} | {asyncio.run(red_after(defect, calls, seed))} |", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
