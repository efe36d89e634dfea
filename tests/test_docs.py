"""The documents name files, tests and headings that exist."""

import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = "py|ipynb|md|yaml|toml|json|sh|png|j2|txt"
NAME = re.compile(rf"(?<![\w./:*-])(?:\.\./)*([\w*-]+(?:/[\w.*-]+)*\.(?:{SUFFIXES}))(?![\w/-])")
FOLDER = re.compile(
    r"(?<![\w./:-])((?:src|tests|docs|tools|gpu|evidence|benchmarks|templates)/[\w/-]+)(?![\w.*-])"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = {
    "adding_a_fault.md": {"fake_vllm/scenarios/hiccup.py"},  # the page's example
    "ci.md": {"runs/regress/NAME/summary.json", "runs/main/summary.json"},
    "contributing.md": {"CREATING_TOXICS.md"},  # toxiproxy's
    "lint.md": {  # an example, and files of other projects
        "app/chat.py", "story.ipynb", "services/llm_service.py", "src/generated/*.py", "src/generated", "gateway/services.py", "routers/auth.py", "llm_provider/generic/base.py",
    },
    "fake_vllm.md": {"fake.yaml", "story.json"},  # the reader's own
    "limits.md": {"config.yaml", "host.json", "vercel.json"},  # files of the products
    "regress.md": {"path/summary.json"},
}  # fmt: skip
"""Names that belong to examples, to other projects or to products, by page."""
MADE = {"summary.json", "summary.md", "verdicts.json", "evidence/gpu", "gpu/wheels", "gpu/site"}
"""Files and folders that commands make."""


def tracked(pattern: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return sorted(path for name in names if name and (path := ROOT / name).is_file())


PAGES = [path for path in tracked("*.md") if "golden" not in path.parts]
FILES = [path.relative_to(ROOT).as_posix() for path in tracked("*")]


def names(line: str) -> Iterator[str]:
    """Yield the files and folders in a line, bare tests with the last folder."""
    line = re.sub(r"https?://\S+|\]\([^)]*\)", "", line)
    folder = ""
    for name in NAME.findall(line):
        if "/" in name:
            folder = name.rpartition("/")[0] + "/"
        yield folder + name if name.startswith("test_") else name
    yield from FOLDER.findall(line)


def exists(name: str) -> bool:
    """Tell whether a file has this name or end of path; `*` is any text."""
    ends = (name, f"*/{name}", f"{name.rstrip('/')}/*", f"*/{name.rstrip('/')}/*")
    return any(fnmatch(file, end) for file in FILES for end in ends)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def missing_names(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    written = set(re.findall(r"^# (\w+\.py)$", text, re.M))  # blocks that are files of the reader
    known = MADE | written | ELSEWHERE.get(page.name, set())
    return [
        f"{page.name}:{number}: {name}"
        for number, line in enumerate(text.splitlines(), 1)
        for name in names(line)
        if name not in known and not exists(name)
    ]


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if link.startswith(("http", "mailto:")):
            continue
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            broken.append(f"{page.name}: {link}")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_file_that_a_page_names_exists(page: Path) -> None:
    assert not missing_names(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert not broken_links(page)


def test_a_missing_file_and_a_missing_heading_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\nSee tests/real/test_wire.py, test_gone.py, `tests/gone` and\n"
        "[this](#a-page), [that](#no-heading), [a file](no_file.md).\n",
        encoding="utf-8",
    )
    assert missing_names(page) == ["page.md:3: tests/real/test_gone.py", "page.md:3: tests/gone"]
    assert broken_links(page) == ["page.md: #no-heading", "page.md: no_file.md"]
