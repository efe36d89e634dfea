"""What stands both in a notebook and in the library is the same, to the letter."""

import ast
import inspect
from pathlib import Path

import pytest

from stream_lab import story

SOURCES = sorted((Path(__file__).parents[2] / "notebooks" / "source").glob("*.py"))
NAMES = ["PlainChatVllm", "ScopedChatVllm", "ElapsedChatVllm"]


def classes_in(source: Path) -> dict[str, str]:
    text = source.read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    return {node.name: ast.get_source_segment(text, node) or "" for node in nodes}


@pytest.mark.parametrize("name", NAMES)
def test_each_attempt_stands_in_a_notebook_exactly_as_in_the_library(name: str) -> None:
    shown = [classes[name] for classes in map(classes_in, SOURCES) if name in classes]
    assert shown, f"no notebook shows {name}"
    assert set(shown) == {inspect.getsource(getattr(story, name)).rstrip()}
