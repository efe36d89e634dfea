"""Cases for the check of code: files with marks where findings should be."""

from pathlib import Path
from textwrap import dedent

import pytest

from stream_lab.lint import Finding


def write(path: Path, text: str) -> list[tuple[int, int]]:
    """Write the file without its marks, and tell where they were: line and column."""
    lines = dedent(text).strip("\n").split("\n")
    places = [
        (number, line.index("«") + 1) for number, line in enumerate(lines, start=1) if "«" in line
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.replace("«", "") for line in lines), encoding="utf-8")
    return places


def found(findings: list[Finding], rule: str) -> list[tuple[int, int]]:
    return [(each.line, each.column) for each in findings if each.rule == rule]


def cases(of: dict[str, list[str]]) -> list[object]:
    return [
        pytest.param(rule, text, id=f"{rule}-{number}")
        for rule, texts in of.items()
        for number, text in enumerate(texts, 1)
    ]
