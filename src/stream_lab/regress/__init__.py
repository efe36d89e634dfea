"""Regression runs: the notebooks as a test, over endpoints × sets of versions × notebooks × parameters.

`load` reads a configuration, `build_plan` plans a run, `execute` runs it on an executor and writes its documents. The way of a cell: `grid` names
it, `worlds` makes its environment, `schedule` gives it to an executor, `run_cell` runs its notebook and judges it, `compare` holds its row against a
baseline, `history` keeps it.
"""

from stream_lab.regress.config import Config, ConfigError, load
from stream_lab.regress.console import show, show_plan, watching
from stream_lab.regress.executors import ClusterError
from stream_lab.regress.history import HistoryError
from stream_lab.regress.plan import build_plan
from stream_lab.regress.row import Row, Status
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
    "watching",
]  # fmt: skip
