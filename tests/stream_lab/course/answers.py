"""Ask a checker about an answer, without a notebook."""

import asyncio
from pathlib import Path
from typing import Any

from stream_lab.course.exercise import Examined, examine, find

ROOT = Path(__file__).parents[3]


def examined(name: str, answer: Any, *context: Any) -> Examined:
    """Return what the checker of an exercise, as "08.1", finds in an answer."""
    notebook, _, number = name.partition(".")
    return asyncio.run(examine(find(notebook, number), answer, context))


def is_right(name: str, answer: Any, *context: Any) -> None:
    """Fail unless the checker accepts the answer."""
    found = examined(name, answer, *context)
    assert found.right, found.message


def is_wrong(name: str, word: str, answer: Any, *context: Any) -> None:
    """Fail unless the checker refuses the answer and names the mistake with this word."""
    found = examined(name, answer, *context)
    assert found.given
    assert not found.right
    assert word in found.message, found.message


def solution(notebook: str, name: str, **given: Any) -> Any:
    """Return what the notebook's solutions define under a name."""
    text = (ROOT / "notebooks" / "solutions" / f"{notebook}.py").read_text(encoding="utf-8")
    exec(text, given)
    return given[name]
