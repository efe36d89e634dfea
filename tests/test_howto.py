"""The code of the how-to pages runs; each block is a file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "howto").glob("*.md"))
BLOCK = re.compile(r"```python\n(?:# (\w+\.py)\n)?(.*?)```", re.S)
IMPORTS = "test_each_block_can_be_imported.py"
LONGEST = 100.0


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Outcomes by page and block of all blocks, which one pytest runs with one fake."""
    folder = tmp_path_factory.mktemp("howto")
    for page in PAGES:
        for number, (name, code) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
            file = folder / (name or f"test_{page.stem}_{number}.py")
            assert not file.exists(), f"two blocks are named {file.name}"
            file.write_text(code if name else f"{code}\ndef test_it_runs(): pass\n")
    modules = ", ".join(sorted(path.stem for path in folder.glob("*.py")))
    (folder / IMPORTS).write_text(f"import {modules}\n\ndef test_it_runs(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--tb=short"]
    done = subprocess.run(
        [*command, "--asyncio-mode=auto", "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) (?:\S*/)?(\w+\.py)", done.stdout, re.M)
    files: dict[str, str] = {}
    for outcome, file_name in outcomes:
        if files.get(file_name, "PASSED") == "PASSED":
            files[file_name] = "PASSED" if outcome == "PASSED" else done.stdout
    return files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_how_to_page_runs(page: Path, played: dict[str, str]) -> None:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    names = [name or f"test_{page.stem}_{number}.py" for number, (name, _) in enumerate(blocks)]
    for name in (*names, IMPORTS):
        if name.startswith("test_"):
            assert played.get(name) == "PASSED", played.get(name, f"{name} was not run")
