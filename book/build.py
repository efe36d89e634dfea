"""Build the book: `python -m book.build` in the environment of `make book`."""

import shutil
import subprocess
import sys
from pathlib import Path

from book import browser

ROOT = Path(__file__).parents[1]
OUT = ROOT / "dist" / "book"
CACHE = ROOT / ".venv-book" / "cache"
"""What Sphinx has read, for the next build; it goes with the environment."""

STRICT = ("--fail-on-warning", "--keep-going", "--quiet")
FIRST_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=docs/index.html">
<title>stream-deadline</title>
<a href="docs/index.html">The book</a>
"""
"""The book's folder opens at its first page, which is in docs, like its source."""


def sphinx(builder: str, settings: str, source: str, target: Path) -> None:
    """Run Sphinx; a warning is an error.

    Raises:
        CalledProcessError: Sphinx has shown an error or a warning.
    """
    doctrees = CACHE / target.name
    command = [sys.executable, "-m", "sphinx", *STRICT, "-b", builder, "-c", settings]
    subprocess.run([*command, "-d", str(doctrees), source, str(target)], cwd=ROOT, check=True)


def keep_one_theme(revealjs: Path, theme: str) -> None:
    """Remove themes and plugins that the slides do not load; some name foreign hosts."""
    for path in (revealjs / "dist" / "theme").glob("*.css"):
        if path.stem != theme:
            path.unlink()
    for path in (revealjs / "plugin").iterdir():
        if path.name not in ("notes", "highlight"):
            shutil.rmtree(path)
    shutil.rmtree(revealjs / "css")
    for path in [*revealjs.rglob("*.map"), *revealjs.rglob("*.esm.js")]:
        path.unlink()


def main() -> int:
    """Build all of it, and return the exit status."""
    shutil.rmtree(OUT, ignore_errors=True)
    slides = OUT / "slides"
    try:
        sphinx("html", "book", ".", OUT)
        sphinx("revealjs", "book/slides", "docs", slides)
    except subprocess.CalledProcessError:
        print("The book has errors; Sphinx named them above.", file=sys.stderr)
        return 1
    keep_one_theme(slides / "_static" / "revealjs", "white")
    (slides / "slides_90_minutes.html").rename(slides / "index.html")
    for leftover in (slides / "objects.inv", slides / "_sources", OUT / ".buildinfo"):
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(True)
    try:
        browser.build(OUT / "browser", CACHE / "browser")
    except subprocess.CalledProcessError as error:
        print(
            f"The notebook for the browser was not built: {error.cmd[0]} failed.", file=sys.stderr
        )
        print(error.stderr or error.stdout, file=sys.stderr)
        return 1
    (OUT / "index.html").write_text(FIRST_PAGE, encoding="utf-8")
    print(
        f"The book is {OUT.relative_to(ROOT)}/index.html, the slides slides/index.html beside it."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
