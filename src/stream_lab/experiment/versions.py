"""The versions of Python and of the packages that matter, as this process imported them."""

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
"""The module of each distribution."""


def imported() -> dict[str, str]:
    """Return versions by name, with `python` among them; packages not imported are left out.

    The version is that of the metadata beside the imported module. A module from elsewhere that
    hides the installed one has no such metadata, so its version is "unknown".
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
