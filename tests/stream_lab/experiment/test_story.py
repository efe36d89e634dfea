"""Code in a notebook equals the same code in the library, to the letter."""

import ast
import asyncio
import inspect
from pathlib import Path

import openai
import pytest

from stream_lab import Endpoint, bundled
from stream_lab.experiment import story

SOURCES = sorted((Path(__file__).parents[3] / "notebooks" / "source").glob("*.py"))
NAMES = [
    "PlainChatVllm",
    "ScopedChatVllm",
    "ElapsedChatVllm",
    "PerPullChatVllm",
    "ClockedChatVllm",
    "ReaderChatVllm",
]


def classes_in(source: Path) -> dict[str, str]:
    text = source.read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    return {node.name: ast.get_source_segment(text, node) or "" for node in nodes}


@pytest.mark.parametrize("name", NAMES)
def test_each_attempt_is_the_same_in_a_notebook_and_in_the_library(name: str) -> None:
    shown = [classes[name] for classes in map(classes_in, SOURCES) if name in classes]
    assert shown, f"no notebook shows {name}"
    assert set(shown) == {inspect.getsource(getattr(story, name)).rstrip()}


def test_each_attempt_passes_on_an_answer_that_is_in_time(fake: Endpoint) -> None:
    async def ask(name: str) -> str:
        model = getattr(story, name)(**fake.settings, timeout=5, max_tokens=8, seed=1)
        return "".join([str(chunk.content) async for chunk in model.astream("Hi")])

    async def ask_all() -> set[str]:
        return {await ask(name) for name in NAMES}

    answers = asyncio.run(ask_all())
    assert len(answers) == 1
    assert len(answers.pop().split()) > 4


def test_the_reader_passes_on_errors() -> None:
    """An error of the server reaches the consumer unchanged, not as a time-out."""

    async def ask() -> None:
        with bundled("error_event:after=2", gap=0.01) as broken:
            async for _ in story.ReaderChatVllm(**broken.settings, timeout=5).astream("Hi"):
                pass

    with pytest.raises(openai.APIError, match="EngineCore"):
        asyncio.run(ask())
