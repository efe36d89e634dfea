"""The programs that some notebooks start, and what to do where one is missing."""

import shutil

from stream_lab.processes.process import ProcessError

PROGRAMS = {
    "nginx": (("nginx", "/usr/sbin/nginx"), "nginx-light"),
    "haproxy": (("haproxy", "/usr/sbin/haproxy"), "haproxy"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium"),
}
"""By name: what it may be called, and the Debian package that has it."""

NEEDED = {"10": ("nginx",), "11": ("chromium",), "13": ("nginx",)}
"""By the number of a notebook: the programs it starts."""


class MissingPart(ProcessError):
    """Raised when a program is not installed; the text says how to install it."""


def find(program: str) -> str:
    """Return where the program is.

    Raises:
        MissingPart: it is not installed.
    """
    names, package = PROGRAMS[program]
    for name in names:
        if path := shutil.which(name):
            return path
    raise MissingPart(
        f"{program} is not installed; on Debian: apt-get install {package}, or make parts."
    )


def missing(notebook: str) -> str:
    """Return why the notebook of this number cannot run here; empty: it can."""
    for program in NEEDED.get(notebook, ()):
        try:
            find(program)
        except MissingPart as error:
            return str(error)
    return ""
