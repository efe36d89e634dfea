"""From a recording to a word: what a stream or server did about a deadline.

The bands are wide on purpose. The question is whether a bound held, and not how fast this machine
is today.
"""

from enum import StrEnum

from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.trace import Ending, Recording

STOPPED = "stopped at the deadline"
RAN_ON = "ran past the deadline"
SILENT = "silent past the deadline"
EARLY = "stopped too early"
LATE = "stopped too late"
READ_TIMEOUT = "stopped by the read time-out"
STARVED = Unknown("this machine stood still")
NO_CHUNK = Unknown("a call had no chunk in time")
BY_ITSELF = Unknown("the model stopped by itself")


class Server(StrEnum):
    """What the server did after its client's deadline had passed."""

    STOPPED = "stopped generating"
    RAN_ON = "still generating"


NO_METRICS = Unknown("the server shows no metrics")
SHARED = Unknown("others are using the server")
GOES_ON = Unknown("the server goes on after its clients have left")
NOT_BUSY = Unknown("the server was not seen at work")
TOO_LATE_TO_SEE = Unknown("the request reached the server only after its client had left")


def lateness_allowed(deadline: float) -> float:
    """Return the seconds after the deadline that still count as "at" it."""
    return max(0.5, deadline / 4)


def of_stream(recording: Recording, deadline: float) -> str:
    """Return what a call did about a deadline of `deadline` seconds after it began."""
    if recording.stood_still > lateness_allowed(deadline):
        return STARVED
    match recording.ending:
        case Ending.CUT:
            if recording.ended < deadline * 0.95:
                return EARLY
            return STOPPED if recording.ended <= deadline + lateness_allowed(deadline) else LATE
        case Ending.GAVE_UP:
            return RAN_ON if recording.chunks_after(deadline) else SILENT
        case Ending.FINISHED:
            return BY_ITSELF
        case Ending.FAILED:
            kind = recording.error.partition(":")[0]
            # openai 2.x passes on httpx's own error in mid-stream, 3.x wraps it.
            if kind in ("ReadTimeout", "APITimeoutError", "OpenAITimeoutError"):
                return READ_TIMEOUT
            return f"failed with {kind}"
