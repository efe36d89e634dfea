"""`make coverage` knows which test a line belongs to, in other processes as well."""

import os
import subprocess
import sys
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).parents[1]
USE = "from fake_vllm.engine.histogram import Histogram; Histogram((1.0,)).observe(0.5)"
TEST = f"""
import subprocess, sys

def test_starts_a_process():
    subprocess.run([sys.executable, "-c", {USE!r}], check=True)

def test_works_here():
    {USE}
"""


def test_a_process_belongs_to_the_test_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    data, settings = tmp_path / "data", ROOT / "pyproject.toml"
    env = {
        **{name: text for name, text in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "COVERAGE_FILE": str(data),
        "TEST_SECONDS": str(tmp_path / "seconds"),
        "PYTHONPATH": str(ROOT),
    }
    coverage = [sys.executable, "-m", "coverage"]
    tests = [
        *(*coverage, "run", f"--rcfile={settings}", "-m", "pytest", "-p", "tests.contexts"),
        *("-n", "0", "-q", "-p", "no:cacheprovider", "test_it.py"),
    ]
    for command in (tests, [*coverage, "combine", "--quiet", f"--rcfile={settings}"]):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    measured = CoverageData(str(data))
    measured.read()
    (histogram,) = [each for each in measured.measured_files() if each.endswith("histogram.py")]
    found = {name for names in measured.contexts_by_lineno(histogram).values() for name in names}
    assert {"test_it.py::test_starts_a_process (call)", "test_it.py::test_works_here"} <= found
