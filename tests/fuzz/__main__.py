"""Fuzz for minutes: `python -m tests.fuzz --minutes 10 --seed 7`; `make fuzz` calls it.

Each target has its share of the time, in a process of its own. Values that failed are kept in
`.fuzz/`, and come first in the next run.
"""

import argparse
import io
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.target import Target

Run = Callable[["Target[object]", float, int], None]
KEPT = Path(".fuzz")
ROUND = 60
"""Values of one round, after which the time is looked at."""
INSTRUMENTED = [
    *("stream_deadline", "fake_vllm", "stream_lab.doctor", "stream_lab.lint"),
    *("stream_lab.regress", "stream_lab.untrusted", "stream_lab.notebooks"),
]
"""Packages whose branches Atheris counts."""
PATIENCE = 120.0
"""Seconds that a target may take beyond its share, for its start, and for making a failure small."""


def main() -> None:
    """Run every target; end with 1 if one failed, after all have run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    parser.add_argument("--seed", type=int, help="without it, a new one, which is printed")
    parser.add_argument("--only", default="", help="targets whose names have these words")
    parser.add_argument("--guided", action="store_true", help="by coverage, with Atheris")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of pydantic, for chunks of odd types
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    targets = _targets(instrumented=given.guided)
    chosen = [
        each for each in targets if given.only in each.name and (each.guided or not given.guided)
    ]
    if not chosen:
        raise SystemExit(f"No target's name contains '{given.only}'.")
    share = 60 * given.minutes / len(chosen)
    way = "by coverage" if given.guided else "at random"
    print(f"{len(chosen)} targets {way}, {share:.0f} s each, SEED={seed}", flush=True)
    run = _guided if given.guided else _rounds
    failed = [each for each in chosen if not _in_a_process(each, run, share, seed)]
    if failed:
        print(f"\n{len(failed)} of {len(chosen)} targets failed; the same values: SEED={seed}")
    raise SystemExit(1 if failed else 0)


def _targets(*, instrumented: bool) -> "list[Target[object]]":
    if not instrumented:
        from tests.fuzz.every import TARGETS

        return list(TARGETS.values())
    import atheris

    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.every import TARGETS
    return list(TARGETS.values())


def _in_a_process(target: "Target[object]", run: Run, share: float, seed: int) -> bool:
    """Run a target in a fork of this process; tell whether it held."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for stream in (1, 2):
                    os.dup2(log.fileno(), stream)
                run(target, share, seed)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        ended = _ended(child, began + share + PATIENCE)
        log.seek(0)
        said = log.read().decode(errors="replace")
    tried = re.findall(r"^tried ([0-9,]+)$", said, re.MULTILINE)[-1:] or ["?"]
    mark, took = "✔" if ended == 0 else "✘", time.monotonic() - began
    print(f"{mark} {target.name}: {tried[0]} values, {took:.0f} s", flush=True)
    if ended != 0:
        lines = [line if len(line) < 500 else f"{line[:499]}…" for line in said.splitlines()]
        print("It did not end." if ended is None else "\n".join(lines)[-6000:], flush=True)
    return ended == 0


def _ended(child: int, until: float) -> int | None:
    """Return the status of a process; None: it had to be killed."""
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _rounds(target: "Target[object]", seconds: float, seed: int) -> None:
    """Try values by Hypothesis, whose `target` leads to rare ones."""
    until = time.monotonic() + seconds
    kept, number = KEPT / "examples" / target.slug, 0
    try:
        while number == 0 or time.monotonic() < until:
            target.run(ROUND, seed=seed + number, kept=kept)
            number += 1
    finally:
        print(f"tried {target.tried[0]:,}", flush=True)


def _guided(target: "Target[object]", seconds: float, seed: int) -> None:
    """Try values by Atheris, which keeps those that reach new branches of the packages."""
    import atheris

    corpus = KEPT / "corpus" / target.slug
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):  # short values are none: a test draws hundreds of bytes
        dice = random.Random(seed)
        for number in range(30):
            (corpus / f"first-{number}").write_bytes(dice.randbytes(dice.randint(200, 4000)))
    options = [
        f"-max_total_time={max(1, int(seconds))}",
        f"-seed={seed % 2**32 or 1}",
        f"-artifact_prefix={KEPT}/",
        "-rss_limit_mb=4096",
        "-max_len=8192",
        "-len_control=0",
        "-print_final_stats=1",
    ]
    with target.subject() as subject:
        test: Any = target.test(subject).hypothesis.fuzz_one_input
        last = [0.0]

        def one(data: bytes) -> None:
            test(data)
            if (
                time.monotonic() > last[0] + 1
            ):  # Atheris ends the process, so nothing comes after it
                last[0] = time.monotonic()
                print(f"tried {target.tried[0]:,}", flush=True)

        atheris.Setup([sys.argv[0], *options, str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
