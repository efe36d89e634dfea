"""Lay out a copy of the course to work in, and open it in JupyterLab.

`python tools/learn.py [FOLDER] [--no-lab] [-- OPTIONS OF JUPYTERLAB]`. A notebook that the reader
has changed is kept.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import editions
import nbformat
from jupyterlab_server.workspaces_handler import WORKSPACE_EXTENSION, slugify

from stream_lab.course.store import MARKER

ROOT = Path(__file__).parent.parent
BESIDE = "docs/glossary.md"
WORKSPACE = "course"
SETTINGS = {
    # Without this JupyterLab begins with a question about news.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # A page of the documentation opens as a reader wants to see it.
    "docmanager-extension/plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
}
"""JupyterLab's settings in the copy, by extension and plugin."""


def lay_out(folder: Path, first: str = "00") -> list[str]:
    """Write the learner edition, the solutions and the documentation into a folder.

    Args:
        folder: The folder; it is made if it is missing.
        first: The number of the notebook that JupyterLab opens.

    Returns:
        The notebooks that were kept because the reader has changed them.
    """
    course = folder / MARKER
    for each in (course, folder / "notebooks"):
        each.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "docs", folder / "docs", dirs_exist_ok=True)
    shutil.copytree(editions.SOLUTIONS, folder / "solutions", dirs_exist_ok=True)
    made_file = course / "made.json"
    made = json.loads(made_file.read_text(encoding="utf-8")) if made_file.exists() else {}
    kept, table = [], []
    chapters = editions.chapters()
    for chapter in chapters:
        notebook = editions.learner(chapter, chapters)
        contents = editions.contents(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _anchored(cell.source, folder / "notebooks")
        table.append({**asdict(chapter), **asdict(contents)})
        text = nbformat.writes(notebook) + "\n"
        target = folder / "notebooks" / f"{chapter.learner}.ipynb"
        if target.exists():
            there = _digest(target.read_text(encoding="utf-8"))
            if there != made.get(target.name):
                kept.append(target.name)
            if there != made.get(target.name) or there == _digest(text):
                continue
        target.write_text(text, encoding="utf-8")
        made[target.name] = _digest(text)
    made_file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    (course / "contents.json").write_text(
        json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    tours = {each.name: each.notebooks for each in editions.tours()}
    (course / "tours.json").write_text(json.dumps(tours, indent=1) + "\n", encoding="utf-8")
    for page in sorted((folder / "docs").rglob("*.md")):
        text = editions.linked(page.read_text(encoding="utf-8"), chapters)
        text = _anchored(_reachable(text, page.parent), page.parent, page)
        page.write_text(text, encoding="utf-8")
    (opened,) = [each.learner for each in chapters if each.number == first]
    _arrange(course, f"notebooks/{opened}.ipynb")
    return kept


def lab_command(folder: Path, *extra: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that opens a course in JupyterLab, and its environment."""
    jupyter = (folder / MARKER / "jupyter").absolute()
    environment = {
        **os.environ,
        "JUPYTERLAB_SETTINGS_DIR": str(jupyter / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(jupyter / "workspaces"),
    }
    root = ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    command = [
        sys.executable, "-m", "jupyterlab", *root,
        f"--ServerApp.root_dir={folder.absolute()}",
        f"--LabApp.default_url=/lab/workspaces/{WORKSPACE}",
        *extra,
    ]  # fmt: skip
    return command, environment


def _arrange(course: Path, first: str) -> None:
    """Write JupyterLab's settings and its workspace: a notebook, the glossary as a second tab."""
    settings = course / "jupyter" / "settings" / "@jupyterlab"
    for name, values in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    workspaces = course / "jupyter" / "workspaces"
    workspaces.mkdir(parents=True, exist_ok=True)
    notebook, page = f"notebook:{first}", f"markdownviewer-widget:{BESIDE}"
    data = {
        "layout-restorer:data": {
            "main": {
                "dock": {"type": "tab-area", "currentIndex": 0, "widgets": [notebook, page]},
                "current": notebook,
            },
            "left": {
                "collapsed": False,
                "visible": True,
                "current": "filebrowser",
                "widgets": ["filebrowser", "@jupyterlab/toc:plugin"],
            },
            "right": {"collapsed": True, "visible": True, "widgets": []},
        },
        "file-browser-filebrowser:cwd": {"path": "notebooks"},
        notebook: {"data": {"path": first, "factory": "Notebook"}},
        page: {"data": {"path": BESIDE, "factory": "Markdown Preview"}},
    }
    body = {"data": data, "metadata": {"id": WORKSPACE}}
    file = workspaces / f"{slugify(WORKSPACE)}{WORKSPACE_EXTENSION}"
    file.write_text(json.dumps(body, indent=1), encoding="utf-8")


def _reachable(text: str, folder: Path) -> str:
    """Turn links to files that this copy does not have into plain text."""

    def there(link: re.Match[str]) -> str:
        target = link["target"].partition("#")[0]
        return link[0] if not target or (folder / target).exists() else link["text"]

    return re.sub(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>(?!https?:)[^)\s]+)\)", there, text)


def _anchored(text: str, folder: Path, page: Path | None = None) -> str:
    """Point links to headings at JupyterLab's anchors, which differ from GitHub's.

    Args:
        text: the text with the links.
        folder: where it lies.
        page: the page that it is, for links within it. None: it is a notebook's cell.
    """

    def found(link: re.Match[str]) -> str:
        target = folder / link["page"] if link["page"] else page
        if target is None or not target.is_file():
            return link[0]
        for heading in re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE):
            shown = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
            if re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-") == link["anchor"]:
                anchor = shown.replace(" ", "-")
                return link[0] if re.search(r"[()\s]", anchor) else f"]({link['page']}#{anchor})"
        return link[0]

    return re.sub(r"\]\((?P<page>(?:[./\w-]+\.md)?)#(?P<anchor>[^)\s]+)\)", found, text)


def _digest(text: str) -> str:
    """Return what names a notebook's cells, whatever was run or shown in it."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def main(arguments: list[str]) -> int:
    """Lay the course out and open it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "learn")
    numbers = [chapter.number for chapter in editions.chapters()]
    parser.add_argument(
        "--open", default="00", choices=numbers, metavar="NB", help=f"one of {', '.join(numbers)}"
    )
    parser.add_argument("--no-lab", action="store_true", help="only lay the course out")
    parser.epilog = "What comes after -- are options of JupyterLab, as --no-browser."
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    try:
        kept = lay_out(options.folder, options.open)
    except OSError as error:
        print(f"The course cannot be laid out: {error.strerror}: {error.filename}", file=sys.stderr)
        return 2
    print(f"The course is in {os.path.relpath(options.folder)}; your progress stays there.")
    if kept:
        print(f"Kept as you changed them: {', '.join(kept)}.")
    if options.no_lab:
        return 0
    command, environment = lab_command(options.folder, *arguments[end + 1 :])
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
