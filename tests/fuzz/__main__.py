"""Fuzz for minutes: `python -m tests.fuzz --minutes 10 --seed 7`; `make fuzz` calls it.

Each target has its share of the time, in a process of its own. Values that failed are kept in
`.fuzz/`, and come first in the next run.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KEPT = Path(".fuzz")
ROUND = 150
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
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    if given.one is not None:
        (_guided if given.guided else _rounds)(given.one, 60 * given.minutes, seed)
        return
    from tests.fuzz.every import TARGETS

    names = [
        name
        for name, each in TARGETS.items()
        if given.only in name and (each.guided or not given.guided)
    ]
    if not names:
        raise SystemExit(f"No target's name contains '{given.only}'.")
    share = given.minutes / len(names)
    way = "by coverage" if given.guided else "at random"
    print(f"{len(names)} targets {way}, {60 * share:.0f} s each, SEED={seed}", flush=True)
    failed = [name for name in names if not _in_its_process(name, share, seed, given.guided)]
    if failed:
        print(f"\n{len(failed)} of {len(names)} targets failed; the same values: SEED={seed}")
    raise SystemExit(1 if failed else 0)


def _in_its_process(name: str, minutes: float, seed: int, guided: bool) -> bool:
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--one", name]
    command += ["--minutes", str(minutes), "--seed", str(seed), *(["--guided"] if guided else [])]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * minutes + PATIENCE
        )
    except subprocess.TimeoutExpired:
        print(f"✘ {name}: it did not end", flush=True)
        return False
    took = time.monotonic() - began
    tried = next(
        (line[6:] for line in reversed(done.stdout.splitlines()) if line.startswith("tried ")), "?"
    )
    good = done.returncode == 0
    print(f"{'✔' if good else '✘'} {name}: {tried} values, {took:.0f} s", flush=True)
    if not good:
        print((done.stdout + done.stderr)[-6000:], flush=True)
    return good


def _rounds(name: str, seconds: float, seed: int) -> None:
    """Try values by Hypothesis, whose `target` leads to rare ones."""
    from tests.fuzz.every import TARGETS

    target, until = TARGETS[name], time.monotonic() + seconds
    kept, number = KEPT / "examples" / TARGETS[name].slug, 0
    try:
        while number == 0 or time.monotonic() < until:
            target.run(ROUND, seed=seed + number, kept=kept)
            number += 1
    finally:
        print(f"tried {target.tried[0]:,}", flush=True)


def _guided(name: str, seconds: float, seed: int) -> None:
    """Try values by Atheris, which keeps those that reach new branches of the packages."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.every import TARGETS
    target = TARGETS[name]
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
