"""Find dead links in HTML pages, and what they load from the network."""

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
"""Elements that a browser fetches by itself, with the attribute that has the address."""
CODE_LOADS = re.compile(
    r"""@import\s*(?:url\()?["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//"""
    r"""|(?:import|importScripts|fetch)\(\s*["']https?://|from\s*["']https?://""",
    re.IGNORECASE,
)
"""How style sheets and scripts fetch from a host of the network."""


class Page(HTMLParser):
    """The links, anchors and loaded addresses of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links, loads and names."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given.get("id", ""), given.get("name", "")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADS and (address := given.get(LOADS[tag])):
            self.loaded.append(address)


@cache
def read(path: Path) -> Page:
    """Return a page, read once."""
    return Page(path)


def files(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files of the site, without JupyterLite, which a browser tests."""
    for path in sorted(root.rglob("*")):
        if path.suffix in suffixes and path.relative_to(root).parts[0] != "browser":
            yield path


def dead_links(root: Path) -> Iterator[str]:
    """Yield links and loaded addresses that lead to no file or no anchor."""
    for path in files(root, ".html"):
        page = read(path)
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            lost = not target.is_file() or (
                parts.fragment
                and target.suffix == ".html"
                and unquote(parts.fragment) not in read(target).anchors
            )
            if lost:
                yield f"{path.relative_to(root)}: {link}"


def foreign_loads(root: Path) -> Iterator[str]:
    """Yield what pages, style sheets and scripts would load from the network."""
    for path in files(root, ".html"):
        for address in read(path).loaded:
            if urlsplit(address).netloc:
                yield f"{path.relative_to(root)}: {address}"
    for path in files(root, ".html", ".css", ".js"):
        for match in CODE_LOADS.finditer(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(root)}: {match.group()}"
