"""The capstone: a relay with planted faults, run as in production, and the tickets about it."""

from stream_lab.course.capstone.asking import ask
from stream_lab.course.capstone.folder import ServiceFolder, open_folder, shipped
from stream_lab.course.capstone.running import Running
from stream_lab.course.capstone.symptoms import doctor, half_an_answer, leave_a_chat

__all__ = [
    "Running",
    "ServiceFolder",
    "ask",
    "doctor",
    "half_an_answer",
    "leave_a_chat",
    "open_folder",
    "shipped",
]
