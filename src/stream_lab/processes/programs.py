"""The programs that some notebooks start, and what to do if one is missing."""

import shutil

from stream_lab.processes.process import ProcessError

PROGRAMS = {
    "nginx": (("nginx", "/usr/sbin/nginx"), "nginx-light"),
    "haproxy": (("haproxy", "/usr/sbin/haproxy"), "haproxy"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium"),
}
"""For each program, its possible names and its Debian package."""

NEEDED = {"10": ("nginx",), "11": ("chromium",), "13": ("nginx",)}
"""For each number of a notebook, the programs that it starts."""


class MissingPart(ProcessError):
    """Raised when a program is not installed; the text says how to install it."""


def find(program: str) -> str:
    """Return the path of a program.

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
    """Return why a notebook cannot run here, by its number. Empty: it can."""
    for program in NEEDED.get(notebook, ()):
        try:
            find(program)
        except MissingPart as error:
            return str(error)
    return ""
