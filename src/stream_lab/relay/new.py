"""`stream-lab new-relay DIR`: a copy of the template in a folder of the reader's."""

import shutil
from pathlib import Path
from typing import Final

from stream_lab.data_folders import TEMPLATE, data_folder
from stream_lab.errors import LabError

_LEFT_BY_TOOLS: Final = ("__pycache__", "*.pyc", ".*_cache", ".venv*", "wheels")


class NewRelayError(LabError):
    """Raised when the folder cannot be written; the text says why."""


def template() -> Path:
    """Return the folder of the template."""
    return data_folder(TEMPLATE)


def write(folder: Path) -> list[Path]:
    """Copy the template into an empty or new folder, and return the relative paths.

    Raises:
        NewRelayError: the folder is not empty, is a file, or cannot be written.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise NewRelayError(
                f"{folder} is not empty; name an empty folder, or one that does not exist yet."
            )
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(
            template(),
            folder,
            copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns(*_LEFT_BY_TOOLS),
            dirs_exist_ok=True,
        )
    except shutil.Error as error:
        raise NewRelayError(f"{folder} cannot be written: {error.args[0][0][2]}.") from error
    except OSError as error:
        raise NewRelayError(f"{folder} cannot be written: {error.strerror}.") from error
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
