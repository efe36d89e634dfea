"""Which test files start processes, open sockets or wait, and so depend on the machine."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_IMPORTED = set(
    """
    subprocess multiprocessing socketserver http.server uvicorn CliRunner drills Fake FakeVllm
    bundled processes relay scripted played stacks runs Endpoint checked own_tests
    """.split()
)
"""What a module imports when it starts a process, opens a socket, asks a server or checks answers."""
_CALLED = {"time.sleep", "socket.socket", "socket.create_server", "asyncio.start_server"}


@cache
def needs_real_time(file: Path) -> bool:
    """Return whether the tests of a file, or their helpers, depend on the machine."""
    return _depends(file, set())


def _depends(file: Path, seen: set[Path]) -> bool:
    if file in seen or not file.is_file():
        return False
    seen.add(file)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = set(imported(ast.walk(tree)))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    parts = {part for name in names for part in (name, *name.split("."))}
    if parts & _IMPORTED or called & _CALLED:
        return True
    return any(_depends(helper, seen) for helper in helpers(names))


def helpers(names: Iterable[str]) -> Iterator[Path]:
    """Yield the files of the tests' own modules among imported names; some may not exist."""
    for name in names:
        if name.startswith("tests."):
            yield ROOT.joinpath(*name.split(".")).with_suffix(".py")


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the modules and the names that statements of a module import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (each.name for each in node.names)
            yield from (f"{node.module}.{each.name}" for each in node.names)
