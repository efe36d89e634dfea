"""The plans, the smallest replay, the figures and the command of a soak."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from stream_lab.cli.soak import numbers
from stream_lab.soak import Plan, Settings, draw, soak
from stream_lab.soak.console import loop_factory
from stream_lab.soak.report import page, write
from stream_lab.soak.result import FEW_ROUNDS, MIB, Result, growth, percentile
from stream_lab.soak.shrink import compact, shrink
from stream_lab.soak.stage import Played, Violation
from stream_lab.soak.standstill import HAND_OVERS, CpuWait, Lag, ThreadSleeper
from stream_lab.soak.traced import COMPARED_FROM, Traced
from stream_lab.soak.turns import turns_of
from tests.stream_lab.in_process import invoke
from tests.test_makefile import Checkout


def test_a_call_is_drawn_from_its_seed_and_number_alone() -> None:
    assert draw("a", 7) == draw("a", 7)
    assert draw("a", 7) != draw("b", 7)
    assert len({draw("a", number).limit for number in range(1, 601)}) > 590


def test_deadlines_are_from_a_twentieth_of_a_second_to_five_or_out_of_reach() -> None:
    limits = [draw("a", number).limit for number in range(1, 2001)]
    assert min(limits) < 0.06
    assert all(0.05 <= limit <= 5.001 or limit >= 60 for limit in limits)


@pytest.mark.parametrize(
    ("text", "found"), [("", ()), ("3", (3,)), ("3, 7-9", (3, 7, 8, 9)), ("2,1-3", (1, 2, 3))]
)
def test_only_takes_numbers_and_ranges(text: str, found: tuple[int, ...]) -> None:
    assert numbers(text) == found
    assert numbers(compact(found)) == found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "x"], "--only takes numbers and ranges, such as 3,7-12; got 'x'."),
        (["--only", "9-3"], "got '9-3'."),
        (["--only", "0"], "got '0'."),
        (["--only", "1-999999999"], "names more than 100000 calls"),
        (["--seed", "a b"], "The seed must be of letters and digits"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments: list[str], words: str) -> None:
    done = invoke(["soak", *arguments])
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def violation(number: int | None, round: Sequence[int]) -> Violation:
    plan = None if number is None else draw("a", number)
    return Violation("it was late: 0.40 s", plan, None, tuple(round))


class Machine:
    """Plays nothing; the violation comes if all these calls are played together."""

    def __init__(self, seen: Violation, needed: set[int]) -> None:
        self._seen, self._needed = seen, needed
        self.played: list[list[int]] = []

    async def __call__(self, numbers: Sequence[int]) -> Played:
        self.played.append(list(numbers))
        seen = [self._seen] if self._needed <= set(numbers) else []
        return Played(violations=seen)


@pytest.mark.parametrize(
    ("number", "needed", "smallest", "words"),
    [
        (5, {5}, [5], "It came again alone, in 3 of 3 tries: stream-lab soak --seed a --only 5"),
        (5, {5, 14}, [5, 14], "with 2 calls at once"),
        (5, {5, 99}, [], "neither alone nor with its whole round"),
        (None, {11}, [11], "alone"),
    ],
)
def test_the_smallest_replay_is_found(
    number: int | None, needed: set[int], smallest: list[int], words: str
) -> None:
    seen = violation(number, range(1, 17))
    replay = asyncio.run(shrink(Machine(seen, needed), seen))
    assert list(replay.numbers) == smallest
    assert words in replay.sentence("a")


def test_a_standstill_counts_only_where_it_lies_in_the_time() -> None:
    lag = Lag()
    lag.note(10.0, 10.5)
    lag.note(12.0, 12.25)
    assert lag.between(9.0, 13.0) == pytest.approx(0.75)
    assert lag.between(10.25, 12.125) == pytest.approx(0.375)
    assert lag.between(10.6, 11.9) == 0.0
    assert [lag.explains(10.6, 10.7, times) for times in (1, 2)] == [0.5, 1.0]
    assert lag.explains(14.0, 15.0, 2) == 0.0
    assert Lag.of(lag.take()).between(9.0, 13.0) == pytest.approx(0.75)
    assert lag.between(9.0, 13.0) == 0.0


def test_a_sleeper_is_as_late_as_a_call_that_waits_for_its_turns() -> None:
    """A call waits for the interpreter each time that it has given it up."""
    over, turn = threading.Event(), 0.02

    def compute() -> None:
        while not over.is_set():
            pass

    computing = threading.Thread(target=compute)
    with turns_of(turn), ThreadSleeper() as sleeper:
        computing.start()
        try:
            time.sleep(2 * HAND_OVERS * turn)
        finally:
            over.set()
            computing.join()
    assert sleeper.lag.longest() > HAND_OVERS * turn / 2


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="this kernel does not count waits for a CPU"
)
def test_a_thread_that_waits_for_a_cpu_is_noticed() -> None:
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    began = time.monotonic()
    try:
        with CpuWait() as wait:
            while wait.lag.between(began, time.monotonic()) < 0.1:
                assert time.monotonic() < began + 20, "no wait was noticed"
    finally:
        for each in others:
            each.kill()
            each.wait()


def test_memory_is_judged_only_after_enough_rounds() -> None:
    assert growth([1] * (FEW_ROUNDS - 1)) is None
    assert growth([100 * MIB] * 20) == 0
    result = Result("a", memory=[(100 * MIB + 5 * MIB * step, 0) for step in range(20)])
    result.judge_memory()
    assert [each.what for each in result.violations] == [
        "the memory of this process grew by 50 MiB"
    ]


def test_the_page_says_that_few_rounds_tell_nothing_of_the_memory() -> None:
    few = Result("a", calls=1, took=1.0, memory=[(MIB, MIB)] * (FEW_ROUNDS - 1))
    enough = Result("a", calls=1, took=1.0, memory=[(MIB, MIB)] * FEW_ROUNDS)
    assert "do not tell whether it grows" in page(few)
    assert "do not tell whether it grows" not in page(enough)
    assert not few.as_dict()["memory_is_judged"]


def test_objects_that_pile_up_are_a_violation_with_the_line_that_made_them() -> None:
    traced = Traced()
    kept: list[bytes] = []
    result = Result("a")
    try:
        for _ in range(FEW_ROUNDS):
            kept.append(bytes(MIB))
            result.traced.append(traced.look())
        result.grown_at = traced.grown_at()
    finally:
        traced.stop()
    result.judge_memory()
    [found] = result.violations
    assert found.what.startswith("Python's objects grew by 6.0 MiB; the most at ")
    assert Path(__file__).name in found.what
    assert "Python's objects took" in page(replace(result, took=1.0, memory=[(MIB, MIB)]))


def test_only_lines_whose_objects_grew_are_named() -> None:
    traced = Traced()
    freed = [bytes(8 * MIB)]
    try:
        for _ in range(COMPARED_FROM):
            traced.look()
        freed.clear()
        kept = bytes(MIB)
        assert "(1024 KiB)" in traced.grown_at()
        assert "-" not in traced.grown_at().replace("site-packages", "")
        assert len(kept) == MIB
    finally:
        traced.stop()


def test_objects_that_do_not_pile_up_are_none() -> None:
    result = Result("a", traced=[5 * MIB + step % 2 for step in range(FEW_ROUNDS)])
    result.judge_memory()
    assert result.violations == []


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_the_event_loop_can_be_chosen(name: str) -> None:
    with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
        assert type(runner.get_loop()).__module__.startswith(name)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100)]
    assert [percentile(values, share) for share in (0, 50, 99, 100)] == [0.0, 50.0, 99.0, 99.0]


def test_the_report_names_violations_and_how_they_come_again(tmp_path: Path) -> None:
    result = Result("a", calls=1, took=1.0)
    result.late["deadline, thread"].extend([0.002, 0.004])
    result.alone["deadline, thread"].extend([0.0, 0.001])
    result.violations.append(violation(5, [5]))
    assert "call 5: it was late" in page(result)
    assert "| deadline, thread | 2 | 4.0 | 4.0 | 4.0 | 4.0 | 1.0 | 1.0 | 1.0 |" in page(result)
    folder = write(result, tmp_path)
    told = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert told["violations"][0]["plan"]["number"] == 5
    assert (folder / "lateness.png").read_bytes().startswith(b"\x89PNG")


class Scene:
    """A stage without servers: all calls are fine but some."""

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad
        self.rounds: list[int] = []

    async def play(self, plans: Sequence[Plan], **_: object) -> Played:
        self.rounds.append(len(plans))
        group = [plan.number for plan in plans]
        return Played(violations=[violation(number, group) for number in {*group} & self.bad])


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Let the command play without servers, and not exit; call 7 is bad."""
    made = Scene({7})

    @asynccontextmanager
    async def stage() -> AsyncIterator[Scene]:
        yield made

    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr("stream_lab.soak.run.stage", stage)
    monkeypatch.setattr("stream_lab.cli.soak.leave", leave)
    return made


@pytest.mark.parametrize(
    ("arguments", "status", "rounds"),
    [
        (["--only", "3-6"], 0, [4]),
        (["--calls", "700"], 1, [600, 100, 1, 1, 1]),
        (["--only", "5-7"], 1, [3, 1, 1, 1]),
    ],
)
def test_the_status_tells_of_a_violation_and_the_call_is_played_again_alone(
    arguments: list[str], status: int, rounds: list[int], scene: Scene, tmp_path: Path
) -> None:
    done = invoke(["soak", "--seed", "a", *arguments, "--json", "--out", str(tmp_path)])
    told = json.loads(done.stdout)
    assert (done.returncode, len(told["violations"])) == (status, status)
    assert scene.rounds == rounds
    if status:
        assert told["replays"][0]["words"].endswith("stream-lab soak --seed a --only 7")
    assert [path.name for path in sorted(next(tmp_path.iterdir()).iterdir())] == [
        "lateness.png",
        "report.md",
        "results.json",
    ]


def test_python_s_objects_are_counted_if_asked_for(scene: Scene, tmp_path: Path) -> None:
    command = ["soak", "--calls", "1300", "--seed", "b", "--traced", "--json"]
    scene.bad.clear()
    told = json.loads(invoke([*command, "--out", str(tmp_path)]).stdout)
    assert len(told["traced_mib"]) == 3
    assert all(each > 0 for each in told["traced_mib"])
    assert not tracemalloc.is_tracing()


def test_a_folder_that_cannot_be_written_is_one_sentence(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = invoke(["soak", "--only", "1", "--out", str(file)])
    assert done.returncode == 2
    assert "Name another folder with --out." in done.stderr


@pytest.mark.parametrize("name", ["SECONDS", "CALLS", "SEED", "ONLY"])
def test_a_setting_of_make_reaches_the_command(name: str, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.set_up()
    assert checkout.make("soak", f"{name}=a 'b $(c)").returncode == 0
    assert checkout.calls[-1].strip() == f"stream-lab soak --{name.lower()} a 'b $(c)"


def test_rounds_end_with_the_last_call() -> None:
    assert [len(each) for each in Settings("a", calls=1300).rounds()] == [600, 600, 100]
    assert list(Settings("a", only=(3, 4)).rounds()) == [[3, 4]]


def test_sigterm_cuts_a_soak_short_and_keeps_the_result(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(*_: object, **__: object) -> Played:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(30)
        raise AssertionError("it was not cancelled")

    monkeypatch.setattr(scene, "play", play)
    before = signal.getsignal(signal.SIGTERM)
    assert asyncio.run(soak(Settings("a"))).interrupted
    assert signal.getsignal(signal.SIGTERM) is before


def test_sixty_calls_on_real_servers_break_no_rule(tmp_path: Path) -> None:
    command = "soak --calls 60 --seed sixty --tasks 12 --threads 4 --json --out"
    done = subprocess.run(
        [sys.executable, "-m", "stream_lab", *command.split(), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout)
    assert told["violations"] == []
    assert (done.returncode, told["calls"], sum(told["ends"].values())) == (0, 60, 60)
