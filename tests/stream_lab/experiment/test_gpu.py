"""Watching a GPU through a command: the meaning of its lines, and its errors."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from stream_lab.experiment.gpu import (
    COMMAND,
    GpuError,
    GpuProbe,
    GpuSample,
    fallen,
    on_this_machine,
    parse,
    probe_command,
)

LINE = "0, NVIDIA H100 80GB HBM3, 97, 70123, 561.42"
PROBE = """
import sys, time
for turn in range(10_000):
    print("0, Idle one, 3, 10, 60.0", flush=True)
    print(f"1, Busy one, {min(turn, 100)}, 2048, [N/A]", flush=True)
    time.sleep(0.02)
"""


def command(folder: Path, text: str) -> str:
    file = folder / "probe.py"
    file.write_text(text, encoding="utf-8")
    return f"{sys.executable} {file}"


def test_a_line_of_nvidia_smi_is_read() -> None:
    assert parse(LINE, 1.5) == GpuSample(1.5, 0, "NVIDIA H100 80GB HBM3", 97.0, 70123.0, 561.42)
    assert parse("0, NVIDIA GB10, 5, [N/A], [Not Supported]", 0.0) == GpuSample(
        0.0, 0, "NVIDIA GB10", 5.0, None, None
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "No devices were found",
        "index, name, utilization.gpu [%], memory.used [MiB], power.draw [W]",
    ],
)
def test_a_line_that_is_not_a_sample_is_skipped(line: str) -> None:
    assert parse(line, 0.0) is None


def test_the_command_asks_for_the_columns_that_are_read() -> None:
    assert "--query-gpu=index,name,utilization.gpu,memory.used,power.draw" in COMMAND
    assert "--loop-ms=50" in COMMAND, "twenty a second"


def test_samples_come_while_the_block_runs_and_the_command_ends_with_it(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    with GpuProbe(command(tmp_path, PROBE)) as probe:
        (child,) = set(psutil.Process().children()) - before
        while len(probe.samples) < 10:
            time.sleep(0.02)
    assert not child.is_running()
    busiest = probe.busiest()
    assert {sample.name for sample in busiest} == {"Busy one"}
    assert all(sample.power is None for sample in busiest)
    assert [sample.at for sample in busiest] == sorted(sample.at for sample in busiest)
    count = len(probe.samples)
    time.sleep(0.1)
    assert len(probe.samples) == count


@pytest.mark.parametrize(
    ("text", "said"),
    [("print('No devices were found')", "No devices were found"), ("", "it printed nothing")],
)
def test_a_probe_without_a_gpu_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    with (
        pytest.raises(GpuError, match=f"reports no GPU \\(.*{said}"),
        GpuProbe(command(tmp_path, text)),
    ):
        pass


def test_a_missing_command_is_one_sentence() -> None:
    with pytest.raises(GpuError, match=r"cannot be run"), GpuProbe("no-such-nvidia-smi --loop"):
        pass


def test_a_machine_without_nvidia_smi_has_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert on_this_machine() is None
    fake = tmp_path / "nvidia-smi"
    fake.write_text(f"#!{sys.executable}\nprint('GPU 0: NVIDIA H100')\n", encoding="utf-8")
    fake.chmod(0o755)
    assert on_this_machine() == COMMAND == probe_command()
    monkeypatch.setenv("GPU_PROBE", "ssh gpu nvidia-smi")
    assert probe_command() == "ssh gpu nvidia-smi"
    fake.write_text(f"#!{sys.executable}\nraise SystemExit(9)\n", encoding="utf-8")
    assert on_this_machine() is None


def gpu_at(at: float, utilisation: float | None, memory: float, power: float) -> GpuSample:
    return GpuSample(at, 0, "Made-up GPU", utilisation, memory, power)


def test_the_numbers_that_fall_at_a_cut_are_named() -> None:
    before = [gpu_at(at / 10, 90.0, 1000.0, 400.0) for at in range(10)]
    lag = [gpu_at(1.2, 90.0, 1000.0, 400.0)] * 20  # the utilisation is a mean over a second
    after = [gpu_at(1.6 + at / 10, 0.0, 1000.0, 120.0) for at in range(10)]
    assert fallen([*before, *lag, *after], cut=1.0) == ["utilisation", "power"]
    assert fallen([*before, *before], cut=1.0) == []
    assert fallen([gpu_at(at, None, 1000.0, 400.0) for at in (0.0, 2.0)], cut=1.0) == []
