"""`stream-lab` in the process of the tests, for tests whose subject is not the process.

A command then imports nothing anew, and finds the worker processes of the last one.
"""

import subprocess
from collections.abc import Iterator, Sequence

import pytest
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.notebooks.workers import Workers


class KeptWorkers(Workers):
    """Workers that wait for the notebooks of the next command, too."""

    def retire(self) -> None:
        pass


@pytest.fixture(scope="module")
def kept_workers() -> Iterator[None]:
    """Keep the processes that execute notebooks until the end of a module."""
    workers = KeptWorkers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream_lab.notebooks.executor.Workers", lambda: workers)
        yield
    Workers.retire(workers)


def invoke(arguments: Sequence[str], **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command, with these environment variables besides those of this process."""
    done = CliRunner(env=variables).invoke(app, [*arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess([*arguments], done.exit_code, done.stdout, done.stderr)
