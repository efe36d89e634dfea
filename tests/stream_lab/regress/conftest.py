"""Fixtures for the tests of regression runs."""

import shlex
import sys
from pathlib import Path

import pytest


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a folder with stubs of make and stream-lab, which ends with STUB."""
    place = tmp_path / "checkout"
    for name, text in {
        "stubs/make": "#!/bin/sh\nexit ${STUB_MAKE:-0}\n",
        ".venv/bin/stream-lab": f"""#!/bin/bash
echo "$@" >>called
if [ "$STUB" = real ]; then exec {shlex.quote(sys.executable)} -m stream_lab "$@"; fi
if [ -n "$STUB_DOCUMENTS" ]; then mkdir -p "runs/regress/$RUN"; echo "### told" >"runs/regress/$RUN/summary.md"; fi
exit "$STUB"
""",
    }.items():
        file = place / name
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)
    return place
