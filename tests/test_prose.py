"""The prose that people read is plain English."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLEAN = [
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "docs/adding_a_fault.md",
    "docs/api",
    "docs/architecture.md",
    "docs/book.md",
    "docs/ci.md",
    "docs/clients.md",
    "docs/cutoffs.md",
    "docs/doctor.md",
    "docs/lint.md",
    "docs/doctor_second_set.md",
    "docs/drills.md",
    "docs/fake_clients.md",
    "docs/facilitators_guide.md",
    "docs/fake_vllm.md",
    "docs/figures.md",
    "docs/glossary.md",
    "docs/howto",
    "docs/index.md",
    "docs/limits.md",
    "docs/postmortem.md",
    "docs/postmortem_template.md",
    "docs/real_servers.md",
    "docs/regress.md",
    "docs/releasing.md",
    "docs/review_checklist.md",
    "docs/runbook.md",
    "docs/slides_90_minutes.md",
    "docs/soak.md",
    "docs/threat_model.md",
    "docs/threat_model_fake.md",
    "docs/troubleshooting.md",
    "docs/upgrading.md",
    "fake_vllm/README.md",
    "gpu/README.md",
    "src/stream_deadline/README.md",
    "src/stream_lab/README.md",
    "src/stream_lab/doctor/limits.yaml",
    "templates/relay/README.md",
    "book",
    "src",
    "fake_vllm",
    "gpu",
    "benchmarks",
    "tools",
    "templates/relay",
    "tests",
]
"""Files and folders whose prose has been rewritten. The list only grows."""

QUOTED = [
    "fake_vllm/model/words.py",  # the words that the fake babbles
    "src/stream_lab/experiment/story.py",  # equal to cells of the notebooks
    "src/stream_lab/relay/app.py",  # notebook 09 prints its functions
    "tests/test_prose.py",  # has the bad habits
]
"""Modules with texts that must stay as they are."""

HABITS = {
    r"\b[Nn]obody\b|\b[Ss]omebody\b|\b[Ww]hoever\b": "name the client, the server or the task",
    r"\bso many (seconds|bytes|characters)\b": "say N seconds",
    r"\bwho (has left|leaves|left)\b": "say that the client disconnects",
    r"\b[Tt]his is no\b": "say that this is not a …",
    r"\bwhat was (asked|found|told|made)\b": "use a noun: the request, the finding, the message",
    r"\bhas it that\b|\bcame to pass\b|\bof a sudden\b": "say it plainly",
    r"\bis no [A-Z]{3,}\b": "say that it is not …",
    r"\bin vain\b": "say that it fails",
    r"\b[Ee]verybody\b|\b[Aa]nybody\b": "name the client, the server or the task",
    r"\b(is|are|was|were|been) told\b": "say that it is sent, shown or reported",
    r"\blest\b|\bof its own accord\b|\bwhether or no\b": "say it in today's words",
    r"\bwho (asks|comes|waits|catches|connects)\b": "name the client, the server or the code",
    r"(?m)^ +`\w+`: [a-z]": "document arguments in a section, as `name: text`",
}
WORDS = 15
"""The most words in the first line of a docstring."""


def files() -> Iterator[Path]:
    left_out = [ROOT / name for name in QUOTED]
    assert all(path.exists() for path in left_out)
    for name in CLEAN:
        path = ROOT / name
        assert path.exists(), name
        kind = "*.md" if name.startswith("docs/") else "*.py"
        for each in sorted(path.rglob(kind)) if path.is_dir() else [path]:
            if not any(each == other or other in each.parents for other in left_out):
                yield each


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a module's comments and strings, or a text's lines, with line numbers."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], token.string


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_prose_has_none_of_the_bad_habits(path: Path) -> None:
    found = [
        f"{path.name}:{line}: {match.group(0)!r}: {advice}"
        for line, text in prose(path)
        for habit, advice in HABITS.items()
        for match in re.finditer(habit, text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "path",
    [each for each in files() if each.suffix == ".py"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_docstrings_begin_with_a_short_sentence(path: Path) -> None:
    long = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            line = getattr(node, "lineno", 1)
            if len(first.split()) > WORDS:
                long.append(f"{path.name}:{line}: {len(first.split())} words: {first}")
            elif first and not first.endswith((".", ":", "`.")):
                long.append(f"{path.name}:{line}: not a sentence: {first}")
    assert not long, "\n".join(long)


NAMES = re.compile(
    r"^test_(who|what|whatever|however|whoever|nor|neither|so)_"
    r"|_(nobody|somebody|everybody|whoever|so_many)(_|$)"
    r"|(?<!as)_told(?!_apart)(_|$)"
)
"""Names of tests that are riddles; a name is a sentence of the contract, with its subject first."""


def riddles(path: Path) -> list[str]:
    names = re.findall(
        r"^ *(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [name for name in names if NAMES.search(name)]


@pytest.mark.parametrize(
    "path",
    [each for each in files() if each.name.startswith("test_")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_name_of_a_test_is_a_plain_sentence(path: Path) -> None:
    assert not riddles(path)


def test_a_bad_habit_is_reported(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""Wait for whoever comes."""\n', encoding="utf-8")
    with pytest.raises(AssertionError, match="whoever"):
        test_the_prose_has_none_of_the_bad_habits(module)
    module.write_text(f'"""{"word " * 16}."""\n', encoding="utf-8")
    with pytest.raises(AssertionError, match="words"):
        test_docstrings_begin_with_a_short_sentence(module)
    module.write_text("def test_who_asks_is_told(): ...\n", encoding="utf-8")
    assert riddles(module) == ["test_who_asks_is_told"]
