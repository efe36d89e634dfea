"""Folders that the package carries: the template of a relay, and saved evidence.

In a checkout they are links to `templates/relay` and `evidence`; a wheel has the files.
"""

from importlib.resources import files
from pathlib import Path

from stream_lab.errors import LabError

EVIDENCE, TEMPLATE = "_evidence", "_templates/relay"


class DataError(LabError):
    """Raised when an installation lacks a folder that it should carry."""


def data_folder(name: str) -> Path:
    """Return a folder that the package carries: `EVIDENCE` or `TEMPLATE`.

    Raises:
        DataError: the installation lacks it.
    """
    folder = Path(str(files("stream_lab") / name))
    if not folder.is_dir():
        raise DataError(f"This installation of stream-lab lacks {name}; install it again.")
    return folder.resolve()
