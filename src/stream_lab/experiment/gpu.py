"""What a GPU does, from nvidia-smi, twenty times a second: utilisation, memory and power."""

import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Self

from stream_lab.errors import LabError

EVERY_MS = 50
QUERY = "index,name,utilization.gpu,memory.used,power.draw"
COMMAND = f"nvidia-smi --query-gpu={QUERY} --format=csv,noheader,nounits --loop-ms={EVERY_MS}"
"""The command for this machine; for another, run the same through ssh.

nvidia-smi's utilisation is a mean over up to a second, as NVML gives it.
"""
VARIABLE = "GPU_PROBE"
FIRST_WITHIN = 10.0


class GpuError(LabError):
    """Raised when no GPU can be watched; the text says why and what to do."""


@dataclass(frozen=True)
class GpuSample:
    """One GPU at one moment. None: the GPU does not give this value.

    Attributes:
        at: the moment, on the clock of `time.monotonic()`.
        index: the number of the GPU.
        name: its name.
        utilisation: percent of the time with work on it.
        memory: memory in use, in MiB.
        power: power draw, in watts.
    """

    at: float
    index: int
    name: str
    utilisation: float | None
    memory: float | None
    power: float | None


def fallen(samples: Sequence[GpuSample], *, cut: float) -> list[str]:
    """Return which of the three numbers are lower after a cut than before it.

    Lower means by a tenth at least. The half second after the cut does not count, since the
    utilisation is a mean over up to a second.

    Args:
        samples: the samples of one GPU.
        cut: when its server lost the client, on the clock of the samples.
    """
    found = []
    for name in ("utilisation", "memory", "power"):
        values = [(each.at - cut, getattr(each, name)) for each in samples]
        before = [value for at, value in values if at < 0 and value is not None]
        after = [value for at, value in values if at > 0.5 and value is not None]
        if before and after and median(after) < 0.9 * median(before):
            found.append(name)
    return found


def parse(line: str, at: float) -> GpuSample | None:
    """Parse a line of nvidia-smi's CSV. None: the line is not one."""
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 5 or not parts[0].isdigit():
        return None
    utilisation, memory, power = (_number(part) for part in parts[2:])
    return GpuSample(at, int(parts[0]), parts[1], utilisation, memory, power)


def on_this_machine() -> str | None:
    """Return the command that watches this machine's GPUs. None: no GPU, or no nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return None
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return COMMAND if listed.returncode == 0 and "GPU 0" in listed.stdout else None


def probe_command() -> str | None:
    """Return the command in GPU_PROBE, or else the one for this machine. None: neither exists."""
    return os.environ.get(VARIABLE) or on_this_machine()


class GpuProbe:
    """A watch on a machine's GPUs, in a thread, for the duration of a block.

    Afterwards `samples` holds the samples of all GPUs; `busiest()` picks those of one.
    """

    def __init__(self, command: str = COMMAND) -> None:
        """Prepare the watch; entering the block starts it.

        Args:
            command: prints a line of QUERY's columns for each GPU again and again, as
                `ssh gpu nvidia-smi …` does.
        """
        self.samples: list[GpuSample] = []
        self._command = command
        self._first = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._read, name="gpu probe", daemon=True)

    def busiest(self) -> list[GpuSample]:
        """Return the samples of the busiest GPU. Empty: there are none."""
        peaks: dict[int, float] = {}
        for sample in self.samples:
            peaks[sample.index] = max(peaks.get(sample.index, 0.0), sample.utilisation or 0.0)
        chosen = max(peaks, key=lambda index: peaks[index], default=None)
        return [sample for sample in self.samples if sample.index == chosen]

    def __enter__(self) -> Self:
        """Start the command, and wait for its first line.

        Raises:
            GpuError: the command cannot be run, or reports no GPU.
        """
        try:
            self._process = subprocess.Popen(
                shlex.split(self._command),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise GpuError(f"The GPU probe `{self._command}` cannot be run: {error}.") from None
        self._last = ""
        self._thread.start()
        if not self._first.wait(FIRST_WITHIN) or not self.samples:
            self.__exit__(None, None, None)
            output = f"its last line: {self._last}" if self._last else "it printed nothing"
            raise GpuError(
                f"The GPU probe `{self._command}` reports no GPU ({output}); "
                f"it must print the columns {QUERY}."
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(timeout=5)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            sample = parse(line, time.monotonic())
            if sample is None:
                self._last = line.strip()[:200] or self._last
                continue
            self.samples.append(sample)
            self._first.set()
        self._first.set()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
