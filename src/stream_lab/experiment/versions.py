"""Which Python, and which versions of the packages that decide how the story goes, this process really imported."""

import platform
import sys
from importlib.metadata import distributions
from pathlib import Path

PACKAGES = {
    "langchain-openai": "langchain_openai",
    "langchain-core": "langchain_core",
    "langchain": "langchain",
    "openai": "openai",
    "httpx": "httpx",
    "httpx2": "httpx2",
    "anyio": "anyio",
    "pydantic": "pydantic",
}
"""By distribution: its module."""


def imported() -> dict[str, str]:
    """Versions by name, `python` among them; a package that was not imported is left out.

    The version is that of the metadata beside the module that was imported, so that a module from elsewhere, which hides the one
    that is installed, is found out: it has none, and its version is "unknown".
    """
    found = {"python": platform.python_version()}
    for name, module in PACKAGES.items():
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is not None:
            beside = str(Path(file).parent.parent)
            found[name] = next(
                (entry.version for entry in distributions(name=name, path=[beside])), "unknown"
            )
    return found
