"""A stranger's notebook is refused in one sentence, or read."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_lab.notebooks.notebook import NotebookError, read_notebook


def notebook(source: Any = "TIMEOUT = 1", *cells: Any, **more: Any) -> bytes:
    tagged = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    return json.dumps({"cells": [*cells, {**tagged, **more}]}).encode()


def heading(source: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


REFUSED = {
    "deep": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "cells that are none": b'{"cells": [1]}',
    "metadata of another type": notebook(metadata=["tags"]),
    "a source of another type": notebook(5),
    "a type of another type": notebook(cell_type=5),
    "a cell that is no Python": notebook("a = ("),
    "zeros in a cell": notebook("a = 1\0"),
    "a cell that is too deep": notebook("a = " + "(" * 5000),
    "a cell with too many signs": notebook("a = " + "-" * 100_000 + "1"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_another_file_than_a_notebook_is_refused_in_one_sentence(
    data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "01_x.ipynb"
    path.write_bytes(data)
    with pytest.raises(NotebookError) as raised:
        read_notebook(path)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("source", "title"),
    [("", "01_x"), ([], "01_x"), ("# 01 \u00b7 It\x1b[2J", "It\\x1b[2J"), (["# A\n", "b"], "A")],
)
def test_any_first_text_gives_a_title(source: Any, title: str, tmp_path: Path) -> None:
    path = tmp_path / "01_x.ipynb"
    path.write_bytes(notebook("A = 1", heading(source)))
    assert read_notebook(path).title == title
