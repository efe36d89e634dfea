"""The former place of `Evidence`, for notebooks that were written for it."""

from warnings import warn

from stream_lab.experiment.evidence import Evidence

__all__ = ["Evidence"]

warn(
    "stream_lab.evidence is now stream_lab.experiment.evidence; the old name is removed in 0.2.0.",
    DeprecationWarning,
    stacklevel=2,
)
