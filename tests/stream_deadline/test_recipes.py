"""The recipes of docs/clients.md run, and end at their deadline."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", TEXT, re.M | re.S))
LIMIT = 1.0
LONGEST = 60.0


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The address of a server that takes requests and never answers."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for each in taken:
        each.close()


@pytest.fixture(scope="module")
def ended(silent: str) -> dict[str, str]:
    """Last words of each recipe, all run at once with a short deadline."""

    def run(code: str) -> str:
        code = code.replace("timeout=45", f"timeout={LIMIT}").replace("(45)", "(30)")
        environment = {
            **os.environ,
            "OPENAI_API_KEY": "none",
            "ANTHROPIC_API_KEY": "none",
            "OPENAI_BASE_URL": f"{silent}/v1",
            "ANTHROPIC_BASE_URL": silent,
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-c", code.replace("idle_timeout=10", "idle_timeout=0.9")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        return done.stderr.strip().splitlines()[-1]

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(RECIPES, pool.map(run, RECIPES.values()), strict=True))


def test_every_block_is_a_recipe() -> None:
    assert len(RECIPES) == TEXT.count("```python") == 6


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_ends_at_its_deadline(name: str, ended: dict[str, str]) -> None:
    last_words = ended[name]
    assert last_words.startswith("stream_deadline.StreamDeadlineExceeded: ")
    assert f"timeout={LIMIT}" in last_words.replace("timeout=1)", "timeout=1.0)")
