"""A real vLLM still gives the transcripts that the fake reproduces."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_vllm.golden_check import CASES, problems, send
from tests.real.conftest import OPTIONS, own_vllm

BY_SERVER: dict[str, list[Path]] = {}
for path in CASES:
    case = json.loads(path.read_text(encoding="utf-8"))
    # Random weights write no text that a parser would find.
    if not case.get("advisory") and "writes" not in case:
        BY_SERVER.setdefault(case["server"], []).append(path)


def said(path: Path, address: str) -> list[str]:
    case = json.loads(path.read_text(encoding="utf-8"))
    return problems(case, send(address.removesuffix("/v1"), case["request"]))


@pytest.fixture(scope="module")
def keyed() -> Iterator[str]:
    with own_vllm("--api-key", "sk-golden") as address:
        yield address


@pytest.fixture(scope="module")
def with_options() -> Iterator[str]:
    with own_vllm(*OPTIONS) as address:
        yield address


@pytest.mark.parametrize("path", BY_SERVER["default"], ids=lambda path: path.stem)
def test_a_server_without_flags_reproduces_the_transcripts(path: Path, url: str) -> None:
    assert said(path, url) == []


@pytest.mark.parametrize("path", BY_SERVER["api-key"], ids=lambda path: path.stem)
def test_a_server_with_a_key_reproduces_the_transcripts(path: Path, keyed: str) -> None:
    assert said(path, keyed) == []


@pytest.mark.parametrize("path", BY_SERVER["options"], ids=lambda path: path.stem)
def test_a_server_with_options_reproduces_the_transcripts(path: Path, with_options: str) -> None:
    assert said(path, with_options) == []
