"""Answers to exercises, written as the text of a cell."""

import asyncio
import textwrap
from typing import Any

from stream_lab.course.exercise import Examined, examine, find

RIGHT = "✔"


def check(name: str, code: str, said: str, *context: Any) -> None:
    """Fail unless the checker says this about an answer.

    Args:
        name: The exercise, as "01.1".
        code: The text of the cell. It defines `answer`.
        said: A part of the message about a wrong answer, or `RIGHT`.
        context: What the notebook passes on.
    """
    found = _examined(name, code, *context)
    assert found.given
    if said == RIGHT:
        assert found.right, found.message
    else:
        assert not found.right
        assert said in found.message, found.message


def untouched(name: str, code: str, *context: Any) -> bool:
    """Return whether the checker takes this cell for one without an answer."""
    return not _examined(name, code, *context).given


def _examined(name: str, code: str, *context: Any) -> Examined:
    async def run() -> Examined:
        cell: dict[str, Any] = {}
        exec(textwrap.dedent(code), cell)
        notebook, _, number = name.partition(".")
        return await examine(find(notebook, number), cell["answer"], context)

    return asyncio.run(run())
