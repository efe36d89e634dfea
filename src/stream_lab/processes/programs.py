"""The programs and optional packages that some notebooks need, and what to do without one."""

import shutil
from collections.abc import Container
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from stream_lab.extras import sentence
from stream_lab.processes.process import ProcessError

PROGRAMS = {
    "nginx": (("nginx", "/usr/sbin/nginx"), "nginx-light"),
    "haproxy": (("haproxy", "/usr/sbin/haproxy"), "haproxy"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium"),
}
"""By name: the program's files, and the Debian package that has it."""


@dataclass(frozen=True)
class Needs:
    """The programs that a notebook starts, and the packages of an extra that it imports."""

    programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


_SERVED = ("fastapi", "sse-starlette", "uvicorn")
NEEDED = {
    "01": Needs(packages=("fastapi", "uvicorn")),
    "30": Needs(packages=("fastapi", "uvicorn")),
    "09": Needs(packages=(*_SERVED, "websockets")),
    "10": Needs(("nginx",), _SERVED),
    "11": Needs((), (*_SERVED, "gunicorn")),
    "11b": Needs(("chromium", "haproxy", "nginx"), (*_SERVED, "gunicorn", "playwright")),
    "13": Needs(("nginx",), ("fastapi", "uvicorn")),
    "14": Needs(("nginx",), ("gunicorn",)),
    "16": Needs(("nginx",), _SERVED),
}
"""By the number of a notebook."""


class MissingPart(ProcessError):
    """Raised when a program is not installed; the text says how to install it."""


def find(program: str) -> str:
    """Return the path of a program.

    Raises:
        MissingPart: The program is not installed.
    """
    names, package = PROGRAMS[program]
    for name in names:
        if path := shutil.which(name):
            return path
    raise MissingPart(
        f"{program} is not installed; on Debian: apt-get install {package}, or make parts."
    )


def missing(notebook: str, packages: Container[str] | None = None) -> str:
    """Return why a notebook cannot run; empty if it can.

    Args:
        notebook: Its number, as "10".
        packages: The packages of the environment that would run it; None: this environment.
    """
    needs = NEEDED.get(notebook, Needs())
    for program in needs.programs:
        try:
            find(program)
        except MissingPart as error:
            return str(error)
    for package in needs.packages:
        if not (_is_here(package) if packages is None else package in packages):
            return sentence(package, "relay")
    return ""


def _is_here(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
