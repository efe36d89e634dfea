"""Folders of the project that the wheel carries: the relay's template, and saved evidence."""

from importlib.resources import files
from pathlib import Path

from stream_lab.errors import LabError

EVIDENCE, TEMPLATE = "evidence", "templates/relay"


class DataError(LabError):
    """Raised when an installation lacks a folder that it should carry."""


def packaged(name: str) -> Path:
    """Return the path of a folder in the wheel: in the package, after an underscore."""
    return Path(str(files("stream_lab"))) / f"_{name}"


def data_folder(name: str) -> Path:
    """Return a folder of the project, from the wheel or from the checkout.

    Raises:
        DataError: neither has the folder.
    """
    checkout = Path(str(files("stream_lab"))).parents[1]
    for folder in (packaged(name), checkout / name):
        if folder.is_dir():
            return folder
    raise DataError(
        f"This installation of the laboratory lacks {name}; "
        "install it again, or work in a checkout."
    )
