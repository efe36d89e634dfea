"""Which test files start processes, open sockets or wait, and so depend on the machine."""

import re
from functools import cache
from pathlib import Path

# What a test module imports or asks for when it starts a process, opens a socket or waits.
_REAL_TIME = re.compile(
    r"^\s*(from|import)\s.*\b("
    r"subprocess|CliRunner|drills|Fake|FakeVllm|bundled|processes|relay|uvicorn|scripted|played|stacks|runs"
    r")\b|^\s+time\.sleep\(|\bEndpoint\b",
    re.MULTILINE,
)


@cache
def needs_real_time(file: Path) -> bool:
    """Return whether the tests of a file depend on how fast the machine is."""
    return bool(_REAL_TIME.search(file.read_text(encoding="utf-8")))
