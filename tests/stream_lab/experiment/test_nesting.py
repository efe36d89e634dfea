"""Which package nests event loops, and the error if none can.

To apply it is for good and for the whole process, so that happens in a process of its own.
"""

import asyncio
import importlib.metadata
import subprocess
import sys
import textwrap

import pytest

from stream_lab import nesting
from stream_lab.experiment.nesting import FORMER, SUCCESSOR, NestingError, choose

BOTH = {FORMER: "1.6.0", SUCCESSOR: "1.7.4"}


def test_nest_asyncio_is_used_where_it_works_and_its_successor_elsewhere() -> None:
    assert choose((3, 11), BOTH) == FORMER
    assert choose((3, 13), BOTH) == FORMER
    assert choose((3, 14), BOTH) == SUCCESSOR
    assert choose((3, 11), {SUCCESSOR: "1.7.4"}) == SUCCESSOR


@pytest.mark.parametrize("python", [(3, 14), (3, 15)])
def test_nest_asyncio_alone_is_refused_on_a_python_that_it_breaks(python: tuple[int, int]) -> None:
    with pytest.raises(
        NestingError,
        match=r"^nest-asyncio 1\.6\.0 is no longer maintained .*; install nest-asyncio2, [^.]*\.$",
    ):
        choose(python, {FORMER: "1.6.0"})


def test_without_either_the_error_says_what_to_install() -> None:
    with pytest.raises(NestingError, match="install nest-asyncio2"):
        choose((3, 12), {"jupyterlab": "4.6.6"})


def test_a_refusal_leaves_asyncio_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == SUCCESSOR:
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.6.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    before = asyncio.run, asyncio.Task
    with pytest.raises(NestingError, match=r"Python 3\.14"):
        nesting.apply()
    assert (asyncio.run, asyncio.Task) == before


def test_the_installed_package_is_detected() -> None:
    assert nesting.installed()[FORMER] == importlib.metadata.version(FORMER)


def test_the_patch_runs_a_loop_inside_a_running_one() -> None:
    script = textwrap.dedent("""
        import asyncio
        from stream_lab import nesting

        async def inner():
            return asyncio.get_running_loop()

        async def outer():
            package = nesting.apply()
            return package, asyncio.run(inner()) is asyncio.get_running_loop()

        print(*asyncio.run(outer()))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == [choose(sys.version_info[:2], nesting.installed()), "True"], (
        done.stderr
    )
