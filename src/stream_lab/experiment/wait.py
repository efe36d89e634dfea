"""A wait that was due at some moment, and when it was over."""

from dataclasses import dataclass

from stream_lab.experiment.verdict import lateness_allowed

ON_TIME, LATE = "on time", "late"


@dataclass(frozen=True)
class Wait:
    """A wait, in seconds since it began.

    Attributes:
        due: when it should have been over.
        over: when it was over.
    """

    due: float
    over: float

    @property
    def verdict(self) -> str:
        """Return on time or late, within a wide band."""
        return ON_TIME if self.over <= self.due + lateness_allowed(self.due) else LATE
