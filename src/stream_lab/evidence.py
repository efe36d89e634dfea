"""The former place of `Evidence`, for notebooks that were written for it."""

from warnings import warn

from stream_lab.experiment.evidence import Evidence

__all__ = ["Evidence"]

warn(
    "stream_lab.evidence is stream_lab.experiment.evidence now, and this name will go in the next "
    "version",
    DeprecationWarning,
    stacklevel=2,
)
