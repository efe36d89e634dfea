"""The cost of a regression run beyond papermill, for the same notebooks.

    python benchmarks/regress_cost.py [--rounds 3]

It compares bare papermill in one process with `stream-lab regress --jobs 1`, both as whole
processes with start and imports: papermill is imported once and called for one notebook after the
other. It also measures the start of a kernel, which a pool of warm kernels could save.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ("00", "03")
TIMEOUTS = [2.0, 2.01, 2.02]  # so often each
BARE = """
import json, sys, time
import papermill
began = time.monotonic()
for source in sys.argv[1:]:
    papermill.execute_notebook(
        source, "/dev/null", kernel_name="python3", progress_bar=False,
        cwd=sys.argv[1].rpartition("/")[0],
    )
print(json.dumps(time.monotonic() - began))
"""
KERNEL = """
import json, time
from jupyter_client.manager import start_new_kernel
took = []
for _ in range(5):
    began = time.monotonic()
    manager, client = start_new_kernel(
        kernel_name="python3", extra_arguments=["--IPKernelApp.log_level=40"]
    )
    client.execute_interactive("pass", timeout=60)
    took.append(time.monotonic() - began)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
print(json.dumps(took))
"""


def timed(command: list[str]) -> tuple[float, str]:
    """Return the seconds of a process, and its output."""
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - began, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    sources = [
        str(path) for number in NOTEBOOKS for path in (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    ] * len(TIMEOUTS)
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "regress.yaml"
        config.write_text(
            json.dumps(
                {
                    "folder": str(ROOT / "notebooks"),
                    "notebooks": NOTEBOOKS,
                    "parameters": {"TIMEOUT": TIMEOUTS},
                    "retries": 0,
                    "jobs": 1,
                }
            )
        )
        for _ in range(rounds):
            whole, _ = timed([sys.executable, "-c", BARE, *sources])
            bare.append(whole)
            whole, _ = timed(
                [sys.executable, "-m", "stream_lab", "regress", "--config", str(config), "--json"]
            )
            ours.append(whole)
            print(f"bare papermill {bare[-1]:6.1f} s   regress {ours[-1]:6.1f} s", flush=True)
    difference = statistics.median(o - b for o, b in zip(ours, bare, strict=True)) / len(sources)
    print(
        f"{len(sources)} notebooks, whole processes: {difference:+.2f} s a notebook more than bare "
        f"papermill (median of {rounds})"
    )
    kernels: list[float] = json.loads(timed([sys.executable, "-c", KERNEL])[1])
    print(f"a kernel's start: {statistics.median(kernels):.2f} s (median of {len(kernels)})")


if __name__ == "__main__":
    main()
