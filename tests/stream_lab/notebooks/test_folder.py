"""The folder of a run."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from stream_lab.notebooks import folder
from stream_lab.notebooks.folder import RunFolder


def test_runs_that_begin_in_one_second_have_each_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Frozen":
            return cls(2026, 11, 27, 12, 0, 0)

    monkeypatch.setattr(folder, "datetime", Frozen)
    with ThreadPoolExecutor(8) as pool:
        made = [each.path for each in pool.map(RunFolder, [tmp_path / "runs"] * 8)]
    names = {"2026-11-27T12-00-00", *(f"2026-11-27T12-00-00-{number}" for number in range(2, 9))}
    assert {path.name for path in made} == names
    assert all((path / "notebooks").is_dir() for path in made)
