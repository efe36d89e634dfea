"""The command: wrong usage is one sentence and status 2."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "nosuch"], "No framework's name contains 'nosuch'"),
        (["--only", "vercel"], "is not installed, and frameworks for JavaScript need Node.js"),
        (["--only", "httpx", "--record", "nowhere"], "nowhere is not a checkout"),
    ],
    ids=lambda each: each[-1] if isinstance(each, list) else "",
)
def test_a_wrong_usage_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stream_lab", "frameworks", *arguments],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout.strip() == ""
