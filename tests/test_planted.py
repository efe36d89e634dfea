"""The tables of `make planted` and `make mutants` fit the sources, without running either."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from mutants import mutants  # noqa: E402  as the tools import one another
from mutate import explained  # noqa: E402
from planted import Defect, defects  # noqa: E402


@cache
def ids_in(file: str) -> set[str]:
    """Return the ids of a file's tests, without their cases."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    scopes: list[tuple[str, list[ast.stmt]]] = [(file, tree.body)]
    scopes += [
        (f"{file}::{each.name}", each.body) for each in tree.body if isinstance(each, ast.ClassDef)
    ]
    return {
        f"{scope}::{each.name}"
        for scope, body in scopes
        for each in body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("defect", defects(), ids=lambda each: each.name)
def test_a_planted_defect_fits_the_source_and_names_a_test(defect: Defect) -> None:
    ast.parse(defect.text(ROOT))
    re.compile(defect.says)
    assert defect.test in ids_in(defect.test.partition("::")[0])


def test_there_are_defects_in_the_library_the_middleware_and_the_fake() -> None:
    files = [defect.file for defect in defects()]
    assert len(files) >= 20
    assert len({defect.name for defect in defects()}) == len(files)
    assert all(any(part in file for file in files) for part in ("_bounded", "asgi", "fake_vllm"))


@pytest.mark.parametrize("module", explained())
def test_each_mutant_that_is_explained_exists(module: str) -> None:
    assert explained()[module].keys() <= {each.name for each in mutants(ROOT / module)}


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("if a < b: c()", {"a < b → a <= b", "c() → pass"}),
        ("x = a and b", {"a and b → a or b", "a → (not a)", "b → (not b)"}),
        ("a.b = 1", {"a.b = 1 → pass", "1 → 2"}),
        ("def f(): return max(a)", {"max(a) → None", "max → min"}),
        ("raise E('bad words')", {"raise E('bad words') → pass"}),
        ("x = 'word'", {"'word' → 'XXword'"}),
        ("x: 'T' = True", {"True → False"}),
        ("'A docstring.'", set()),
        ("assert a < b", set()),
        ("__slots__ = ('a',)", set()),
        ("End = Literal['a', 'b']", set()),
    ],
)
def test_a_mutant_is_one_small_change(source: str, changes: set[str], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    made = mutants(path)
    assert {each.change for each in made} == changes
    for each in made:
        compile(each.text, "module.py", "exec")
