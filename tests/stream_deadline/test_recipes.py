"""The code in docs runs; the recipes of docs/clients.md end at their deadline."""

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

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "clients.md").read_text(encoding="utf-8")
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
            "LANGCHAIN_TRACING_V2": "false",
        }
        done = subprocess.run(
            [sys.executable, "-c", code.replace("idle_timeout=10", "idle_timeout=0.9")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        # LangGraph adds a note to the error, which comes after it.
        lines = [each for each in done.stderr.splitlines() if each.startswith("stream_deadline.")]
        return (lines or done.stderr.strip().splitlines())[-1]

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(RECIPES, pool.map(run, RECIPES.values()), strict=True))


def test_every_block_is_a_recipe() -> None:
    assert len(RECIPES) == TEXT.count("```python") == 9


@pytest.mark.parametrize("page", ["observing.md", "testing.md"])
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    """Each block is a file for pytest; one without tests only has to run."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"test_{number}.py").write_text(f"{block}\ndef test_it_runs(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_ends_at_its_deadline(name: str, ended: dict[str, str]) -> None:
    last_words = ended[name]
    assert last_words.startswith("stream_deadline.StreamDeadlineExceeded: ")
    assert f"timeout={LIMIT}" in last_words.replace("timeout=1)", "timeout=1.0)")
