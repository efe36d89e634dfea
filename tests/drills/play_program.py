"""Play a program in an interpreter of its own, and note how it ended."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile

from stream_lab.http.certificates import one_certificate
from stream_lab.processes.warm import WarmProcess
from tests.drills.server import Server
from tests.plain_sleep import STOOD_STILL, PlainSleep

ENDS_WITHIN = 30.0
STARTS_WITHIN = 60.0
SOON = 3.0
"""Seconds within which an interpreter ends, or a signal acts, on a machine that is not late."""
FREED_WITHIN = 5.0


@dataclass(frozen=True)
class Program:
    """A program of `programs.py` as a drill.

    Attributes:
        fault: in words.
        name: of the function.
        says: what it prints.
        plant: a defect of the library that this drill shows.
        interrupt: whether it gets SIGINT once its request is at the server.
        waits: seconds that its end takes by design.
    """

    fault: str
    name: str
    plant: str
    says: str = "ok"
    interrupt: bool = False
    waits: float = 0.0


@dataclass
class Ending:
    """How a program ended. Times are in seconds.

    Attributes:
        status: of the process; None: it had to be killed.
        said: its output, without its last time.
        took: from its last line, or from the signal, to the end of the process.
        freed: from then until the server was free; None: it was not.
        machine: how late a plain sleep was beside it.
    """

    status: int | None = None
    said: str = ""
    took: float = 0.0
    freed: float | None = None
    machine: float = 0.0


def play_program(program: Program, plant: str = "") -> Ending:
    """Run a program, with a defect planted in the library if one is named."""
    ending = Ending()
    with PlainSleep() as sleep, ExitStack() as stack:
        stack.enter_context(one_certificate())
        server = stack.enter_context(Server("--gap-ms", "20"))
        output = stack.enter_context(TemporaryFile())
        arguments = [program.name, f"{server.root}/v1", plant]
        environment = {
            name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
        }
        environment["PYTHONWARNINGS"] = "default::ResourceWarning"
        process = WarmProcess("tests.drills.programs", arguments, env=environment, output=output)
        signalled = None
        if program.interrupt:
            server.wait_for(lambda entries: entries, STARTS_WITHIN)
            time.sleep(0.3)
            os.kill(process.pid, signal.SIGINT)
            signalled = time.monotonic()
        try:
            ending.status = process.wait(ENDS_WITHIN if not plant else ENDS_WITHIN / 2)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(ENDS_WITHIN)
        over = time.monotonic()
        process.stdin.close()
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
        ending.said, last = _without_time(text)
        ending.took = over - (signalled or last or over)
        entries = server.wait_for(
            lambda entries: all(entry["over"] is not None for entry in entries), FREED_WITHIN
        )
        if entries is not None:
            ends = [entry["slot_freed"] or entry["over"] for entry in entries]
            ending.freed = max(0.0, max(ends, default=over) - over)
    ending.machine = sleep.late
    return ending


def whys_of(program: Program, ending: Ending) -> list[str]:
    """Return why a program's end is not as it should be; empty: it is."""
    found = []
    if ending.status is None:
        found.append("the interpreter did not end")
    elif ending.status != 0:
        found.append(f"it ended with status {ending.status}")
    if ending.said != program.says:
        last = ending.said.rpartition("\n")[2]
        found.append(f"it said {last!r}, not {program.says!r}")
    if ending.freed is None:
        found.append(f"the server was not free {FREED_WITHIN:g} s later")
    if ending.took > program.waits + SOON:
        found.append(f"it took {ending.took:.2f} s to end")
    return found


def was_still(program: Program, ending: Ending) -> bool:
    """Return whether only time is wrong, and a plain sleep was late as well."""
    reasons = whys_of(program, ending)
    return ending.machine > STOOD_STILL and all("to end" in reason for reason in reasons)


def _without_time(text: str) -> tuple[str, float | None]:
    """Split the program's last word from the time at which it said it."""
    lines = []
    last = None
    for line in text.splitlines():
        word, _, number = line.rpartition(" ")
        if word in ("ok", "interrupted"):
            line, last = word, float(number)
        lines.append(line)
    return "\n".join(lines), last
