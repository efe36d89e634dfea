"""The matrix: behaviours of a server, times ways to call a model.

`stream-lab matrix my_module:MyChat` plays it for any class like `ChatOpenAI` and draws it.
`servers`, `calls` and `callers` are its rows and columns; `play` plays and judges them.
"""

from stream_lab.matrix.callers import CALLERS, Caller
from stream_lab.matrix.calls import CALLS, Call
from stream_lab.matrix.cells import Cell, Result, cells
from stream_lab.matrix.play import play, side_by_side
from stream_lab.matrix.servers import SERVERS

__all__ = [
    "CALLERS",
    "CALLS",
    "SERVERS",
    "Call",
    "Caller",
    "Cell",
    "Result",
    "cells",
    "play",
    "side_by_side",
]
