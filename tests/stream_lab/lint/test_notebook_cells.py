"""The check of code reads a notebook as IPython runs it."""

import json
from pathlib import Path

from stream_lab.lint import NOT_READ, check


def notebook(path: Path, *cells: str | list[str], language: str = "python") -> None:
    markdown = {"cell_type": "markdown", "source": ["asyncio.run(text)"]}
    code = [{"cell_type": "code", "source": cell} for cell in cells]
    path.write_text(
        json.dumps({"cells": [markdown, *code], "metadata": {"kernelspec": {"language": language}}})
    )


def test_the_cells_of_a_notebook_are_one_module_and_run_in_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "story.ipynb"
    notebook(
        path,
        ["import asyncio as aio\n", "import time"],
        "%%bash\nasyncio.run(not python",
        "!pip install x\npip install y==1\n%matplotlib inline\nname = !ls\n\naio.run(main())\ntime.sleep(1)",
        "if True:\n    %time x = 1\n  broken",
        "%%time\n\nasync def work():\n    time.sleep(1)\n    thing?",
    )
    findings = check([path])
    assert [(each.cell, each.line, each.rule) for each in findings] == [
        (3, 6, "run-in-running-loop"),
        (4, 3, NOT_READ),
        (5, 4, "blocking-in-async"),
    ]
    assert findings[0].location == f"{path}:cell 3:6:1"


def test_a_cell_is_read_as_ipython_runs_it(tmp_path: Path) -> None:
    shell = '!curl http://gpu/ \\\n  -H "Accept: */*" \\\n  -d \'{"a": 1}\'\nimport nest_asyncio'
    notebook(
        tmp_path / "a.ipynb",
        shell,
        "\n    import asyncio\n\n    if asyncio:\n        asyncio.run(x)",
    )
    assert [(each.cell, each.line, each.column, each.rule) for each in check([tmp_path])] == [
        (2, 5, 9, "run-in-running-loop")
    ]


def test_after_nest_asyncio_only_the_patch_is_reported(tmp_path: Path) -> None:
    notebook(
        tmp_path / "a.ipynb",
        "import asyncio, nest_asyncio\nasyncio.run(x)",
        "nest_asyncio.apply()",
        "asyncio.run(x)",
    )
    assert [(each.cell, each.rule) for each in check([tmp_path])] == [
        (1, "run-in-running-loop"),
        (2, "nest-asyncio"),
    ]


def test_a_notebook_in_another_language_is_reported(tmp_path: Path) -> None:
    notebook(tmp_path / "a.ipynb", "x <- 1", language="R")
    assert [each.message for each in check([tmp_path])] == ["Not read: it is a notebook in R."]
