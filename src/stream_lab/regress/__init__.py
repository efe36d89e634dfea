"""Regression runs: the notebooks as a test, over endpoints × worlds × notebooks × parameters.

`load` reads a configuration, `build_plan` plans a run, `execute` runs it and writes its documents.
A cell's way: `grid` names it, `worlds` makes its environment, `stream_lab.notebooks` runs and
judges it, `compare` compares its row with a baseline, `history` keeps the row.
"""

from stream_lab.notebooks.row import Row, Status
from stream_lab.regress.cluster import ClusterError
from stream_lab.regress.config import Config, ConfigError, load
from stream_lab.regress.console import show, show_plan
from stream_lab.regress.history import HistoryError
from stream_lab.regress.plan import build_plan
from stream_lab.regress.run import execute
from stream_lab.regress.store import StoreError
from stream_lab.regress.summary import Change, Kind, Summary, Verdict

__all__ = [
    "Change",
    "ClusterError",
    "Config",
    "ConfigError",
    "HistoryError",
    "Kind",
    "Row",
    "Status",
    "StoreError",
    "Summary",
    "Verdict",
    "build_plan",
    "execute",
    "load",
    "show",
    "show_plan",
]  # fmt: skip
