"""What the notebook shows of the service before any repair."""

import json
import subprocess
import sys
from typing import Any

from stream_lab.course.capstone.asking import ask, leaving
from stream_lab.course.capstone.running import LIMIT, Running
from stream_lab.experiment.release import watch_release

DONE, FAILED, NOTHING = "complete", "incomplete", "nothing"
DOCTOR_WITHIN = 40.0


def doctor(running: Running, *, model: bool = False) -> dict[str, Any]:
    """Return what `stream-lab doctor URL/chat --direct … --json` prints.

    Args:
        running: The service.
        model: Whether the direct way is to the model's server, and not to the relay.
    """
    direct = running.gpu.base_url if model else f"{running.relay.url}/chat"
    question = json.dumps({"question": "Count."})
    command = [
        sys.executable, "-m", "stream_lab.cli", "doctor", f"{running.front}/chat",
        "--post", question, "--direct", direct, "--watch", "8", "--json",
    ]  # fmt: skip
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOCTOR_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"cause": "", "layer": "", "evidence": ["The doctor had not ended."], "also": []}
    if not ended.stdout.strip():
        said = ended.stderr.strip().splitlines()[-1:]
        return {"cause": "", "layer": "", "evidence": said, "also": []}
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def leave_a_chat(running: Running) -> str:
    """Leave a chat with a babbling model after a second, and return what its server does.

    It is watched until the limit of an answer has passed.
    """
    send = leaving(running.front, "/chat", "Babble.")
    return watch_release(running.gpu, send, after=1.0, watch=LIMIT).server


def half_an_answer(running: Running) -> str:
    """Ask a model whose server goes away, and return how the page shows the answer."""
    seen = ask(running.front, "/chat", "Break.", within=10.0)
    if not seen.tokens:
        return NOTHING
    return DONE if seen.done else FAILED
