"""What vLLM says about its own routes: `/openapi.json`, and the pages that show it.

The pages in this folder are FastAPI's, under the MIT License, © Sebastián Ramírez.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PAGES = {
    "/docs": "docs",
    "/docs/oauth2-redirect": "oauth2_redirect",
    "/redoc": "redoc",
}
"""The paths of the pages, and the names of their files."""
SUCCESS = {"responses": {"200": {"description": "Successful Response"}}}


@cache
def page(path: str, root: str) -> bytes:
    """Return a page.

    Args:
        path: its path.
        root: the path before all paths, from --root-path. Empty: there is none.
    """
    text = Path(__file__).with_name(f"{PAGES[path]}.html").read_text(encoding="utf-8")
    return text.replace("{root}", root).encode()


def openapi(routes: Mapping[str, Iterable[str]], root: str) -> dict[str, Any]:
    """Return the document, with paths and methods only; vLLM's has bodies and answers, too.

    Args:
        routes: the methods of each path.
        root: the path before all paths, from --root-path. Empty: there is none.
    """
    paths = {
        path: {method.lower(): SUCCESS for method in methods} for path, methods in routes.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "FastAPI", "version": "0.1.0"},
        **({"servers": [{"url": root}]} if root else {}),
        "paths": paths,
    }
