"""The soak: calls of every style at once, against a server that fails.

`stream-lab soak` draws each call from a seed, and judges it by what the caller saw, by the server's
ledger and by what is left in the process. `soak` plays it, `Settings` says how much.
"""

from stream_lab.soak.plan import Plan, draw
from stream_lab.soak.result import Result
from stream_lab.soak.run import Settings, soak

__all__ = ["Plan", "Result", "Settings", "draw", "soak"]
