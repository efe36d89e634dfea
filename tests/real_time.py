"""Which test files start processes, open sockets or wait, and so depend on the machine."""

import ast
from collections.abc import Iterator
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
    names = set(_imported(tree))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    parts = {part for name in names for part in (name, *name.split("."))}
    if parts & _IMPORTED or called & _CALLED:
        return True
    helpers = (name for name in names if name.startswith("tests."))
    return any(
        _depends(ROOT.joinpath(*name.split(".")).with_suffix(".py"), seen) for name in helpers
    )


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules and the names that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (each.name for each in node.names)
            yield from (f"{node.module}.{each.name}" for each in node.names)
