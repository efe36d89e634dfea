"""The errors that a user can act on."""

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""The numbers of a full disk, and of a quota that is used up."""


class LabError(Exception):
    """Base of every error whose text says what is wrong and what to do.

    The command line prints the text as one sentence and ends with `exit_status`.
    """

    exit_status = 2


class Interrupted(LabError):
    """Raised when Ctrl-C ended a command that keeps its results."""

    exit_status = 130
