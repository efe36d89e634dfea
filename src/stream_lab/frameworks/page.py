"""The page, the picture and the evidence of a checkout, brought up to date."""

from pathlib import Path

from stream_lab.frameworks import results
from stream_lab.frameworks.playing import Watch
from stream_lab.frameworks.report import Rows, markdown, table
from stream_lab.frameworks.survey import Row


def record(folder: Path, rows: dict[str, Row], watch: Watch) -> None:
    """Write results into a checkout; rows of frameworks that were not played stay."""
    merged = results.merge(results.read(folder), rows)
    file = folder / results.FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(results.as_json(merged, watch), encoding="utf-8")
