"""A wait that should have been over at some moment, and when it was."""

from dataclasses import dataclass

from stream_lab.experiment.verdict import lateness_allowed

ON_TIME, LATE = "on time", "late"


@dataclass(frozen=True)
class Wait:
    """Both in seconds since it began. `due`: when it should have been over. `over`: when it was."""

    due: float
    over: float

    @property
    def verdict(self) -> str:
        """On time or late, in a wide band."""
        return ON_TIME if self.over <= self.due + lateness_allowed(self.due) else LATE
