"""Notebook 03 in the reader's own browser: JupyterLite, with a Pyodide that needs no network.

The npm package of Pyodide has the interpreter and a list of the packages built for it, but not the
packages. Those that the kernel needs are pure Python, so they come from the package index, with the
versions of the list. Matplotlib and NumPy are not to be had there, so the pictures are left out.
"""

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[1]
VERSION = "314.0.7"
"""The Pyodide whose list JupyterLite's kernel goes with."""

NOTEBOOKS = ("03_inside_asyncio_timeout",)
"""Notebooks that need no server and no process."""

KERNEL = ("micropip", "ipython", "jedi", "comm")
"""What the kernel imports; the rest follows from the list."""

NOT_LISTED = {"comm": "0.2.3"}
"""Packages that the kernel needs and Pyodide's list lacks, with their versions."""

INTERPRETER = (
    "pyodide.mjs",
    "pyodide.js",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
)
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
DRAWING = ("stream_lab.experiment.pictures", "stream_lab.experiment.stepped", "stream_lab.plots")
"""Modules of the laboratory that need Matplotlib."""

NOTE = (
    "*This copy runs in your browser, with a Python for WebAssembly. Its pictures are left out; "
    "[the page of this notebook]({page}) has them.*"
)


def without_pictures(code: str, names: set[str]) -> str:
    """Return a cell's code without the statements that import what draws, or call it.

    Args:
        code: the cell.
        names: the names that draw, from the cells before; those of this cell are added.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    drawn: list[ast.stmt] = []
    for node in compile(code, "cell", "exec", flags).body:
        if isinstance(node, ast.ImportFrom):
            ours = [
                each.asname or each.name
                for each in node.names
                if node.module in DRAWING or f"{node.module}.{each.name}" in DRAWING
            ]
            names.update(ours)
            drawn += [node] * bool(ours)
        elif isinstance(node, ast.Expr):
            drawn += [node] * (re.split(r"[.(]", ast.unparse(node))[0] in names)
    lines = code.split("\n")
    for node in reversed(drawn):
        del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip()


def for_the_browser(path: Path) -> nbformat.NotebookNode:
    """Return a notebook without outputs, pictures and links to files."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    names: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source, cell.outputs, cell.execution_count = (
                without_pictures(cell.source, names),
                [],
                None,
            )
        else:
            cell.source = re.sub(r"\[([^]]+)\]\((?!https?:)[^)]+\)", r"\1", cell.source)
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    page = f"../../notebooks/{path.stem}.html"
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(NOTE.format(page=page), id="browser"))
    notebook.metadata.kernelspec = {
        "name": "python",
        "display_name": "Python",
        "language": "python",
    }
    return notebook


def run(*command: str, cwd: Path = ROOT) -> None:
    """Run a program that is quiet if it succeeds.

    Raises:
        CalledProcessError: It failed; its words are in the error.
    """
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)


def fetch(packages: dict[str, str], folder: Path, python: str) -> dict[str, Path]:
    """Fetch pure wheels into a folder, and return them by package.

    Args:
        packages: Versions by name.
        folder: The folder.
        python: The version of the interpreter in the browser, as "3.14".
    """
    pins = [f"{name}=={version}" for name, version in packages.items()]
    for_it = ("--no-deps", "--only-binary=:all:", "--platform=any", "--python-version", python)
    run(*PIP, "download", *for_it, "--dest", str(folder), *pins)
    wheels = {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}
    return {name: wheels[name] for name in packages}


def lay_out_interpreter(work: Path) -> None:
    """Lay out a Pyodide with the kernel's packages and the laboratory, for JupyterLite."""
    npm = str(Path(sys.executable).with_name("npm"))
    run(npm, "pack", "--silent", f"pyodide@{VERSION}", cwd=work)
    shutil.unpack_archive(work / f"pyodide-{VERSION}.tgz", work)
    source, target = work / "package", work / "static" / "pyodide"
    target.mkdir(parents=True)
    for name in INTERPRETER:
        shutil.copy(source / name, target)
    lock: dict[str, Any] = json.loads((source / "pyodide-lock.json").read_text(encoding="utf-8"))
    wanted, entries = list(KERNEL), {}
    while wanted:
        name = wanted.pop().replace("_", "-")
        if name not in entries:
            listed = lock["packages"].get(name)
            entries[name] = listed or entry_of(name, NOT_LISTED[name])
            wanted += entries[name]["depends"]
    versions = {name: entry["version"] for name, entry in entries.items()}
    wheels = fetch(versions, target, ".".join(lock["info"]["python"].split(".")[:2]))
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", str(target), str(ROOT / "src" / "stream_lab"))
    [wheels["stream-lab"]] = target.glob("stream_lab-*.whl")
    entries["stream-lab"] = entry_of("stream-lab", "0")
    lock["packages"] = {name: with_wheel(entries[name], wheels[name]) for name in entries}
    (target / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")


def entry_of(name: str, version: str) -> dict[str, Any]:
    """Return an entry of the list for a package without dependencies."""
    module = name.replace("-", "_")
    return {
        "name": name,
        "version": version,
        "imports": [module],
        "depends": [],
        "install_dir": "site",
        "package_type": "package",
        "unvendored_tests": False,
    }


def with_wheel(entry: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return an entry with the name and the digest of its wheel."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {**entry, "file_name": path.name, "sha256": digest}


def build(out: Path, work: Path) -> None:
    """Write JupyterLite with the notebooks to a folder of the book.

    Args:
        out: The folder.
        work: A folder for what is fetched; it is emptied.

    Raises:
        CalledProcessError: A package could not be fetched, or JupyterLite failed.
    """
    shutil.rmtree(work, ignore_errors=True)
    content = work / "content"
    content.mkdir(parents=True)
    for name in NOTEBOOKS:
        notebook = for_the_browser(ROOT / "notebooks" / f"{name}.ipynb")
        nbformat.write(notebook, content / f"{name}.ipynb")
    settings = {"@jupyterlite/pyodide-kernel-extension:kernel": {"disablePyPIFallback": True}}
    (work / "jupyter-lite.json").write_text(
        json.dumps(
            {
                "jupyter-lite-schema-version": 0,
                "jupyter-config-data": {"litePluginSettings": settings},
            }
        ),
        encoding="utf-8",
    )
    lay_out_interpreter(work)
    lite = (sys.executable, "-m", "jupyterlite_core", "build", "--contents", "content")
    run(*lite, "--apps", "notebooks", "--no-sourcemaps", "--output-dir", str(out), cwd=work)
