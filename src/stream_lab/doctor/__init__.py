"""The doctor: find the layer that cuts a stream, or never ends it.

`examine(target)` requests streams, listens, and returns one cause, with the evidence for it, what
would refute it, and what to do next.
"""

from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.examine import Examination, examine
from stream_lab.doctor.target import Target, TargetError

__all__ = ["Cause", "Diagnosis", "Examination", "Target", "TargetError", "examine"]
