"""Event loops inside event loops, and clients that outlive their loop."""

import ast
import math
from collections.abc import Iterator
from typing import Final

from stream_lab.lint.kinds import Kind, kind
from stream_lab.lint.module import Module, method
from stream_lab.lint.rule import Hit, Rule

RUNS: Final = frozenset({"asyncio.run", "anyio.run", "uvloop.run"})
NESTING: Final = frozenset(
    {
        "nest_asyncio.apply",
        "nest_asyncio2.apply",
        "stream_lab.nesting.apply",
        "stream_lab.experiment.nesting.apply",
    }
)


def _run_in_loop(module: Module) -> Iterator[Hit]:
    patched = _patched(module)
    for call in module.all(ast.Call):
        name = module.dotted(call.func)
        if name not in RUNS and method(call) != "run_until_complete":
            continue
        if patched <= call.lineno:
            continue  # it runs; the finding at the patch says what that costs
        function = module.function(call)
        if isinstance(function, ast.AsyncFunctionDef) or (function is None and module.loop_runs):
            yield Hit(call, f"`{name or 'run_until_complete'}(…)`")


def _patched(module: Module) -> float:
    """Return the line from which on loops can nest. Infinite: none. Zero: inside a function."""
    patches = [call for call in module.all(ast.Call) if module.dotted(call.func) in NESTING]
    return min((0 if module.function(call) else call.lineno for call in patches), default=math.inf)


def _nesting(module: Module) -> Iterator[Hit]:
    for call in module.all(ast.Call):
        if module.dotted(call.func) in NESTING:
            yield Hit(call, f"`{module.dotted(call.func)}()`")


def _client_across_loops(module: Module) -> Iterator[Hit]:
    clients = {
        name
        for name, assigned in module.assigned.items()
        for target, value in assigned
        if isinstance(target, ast.Name)
        and module.function(target) is None
        and isinstance(value, ast.Call | ast.BinOp)
        if kind(module, value) in (Kind.RUNNABLE, Kind.ASYNC_CLIENT)
    }
    if not clients or module.loop_runs:
        return
    seen: dict[tuple[int, str], int] = {}
    for call in module.all(ast.Call):
        if module.dotted(call.func) not in RUNS or not call.args:
            continue
        repeated = _is_repeated(module, call)
        for name in sorted(_names(module, call.args[0]) & clients):
            # Statements of one block run one after the other; the arms of an `if` do not.
            block = (id(module.block(module.statement(call))), name)
            seen[block] = seen.get(block, 0) + (2 if repeated else 1)
            if seen[block] == 2:
                yield Hit(call, f"`{name}`")


def _is_repeated(module: Module, call: ast.Call) -> bool:
    for parent in module.above(call):
        if isinstance(parent, ast.For | ast.While):
            return True
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return False
    return False


def _names(module: Module, expression: ast.AST, depth: int = 4) -> set[str]:
    """Return the names in an expression, and in this module's functions that it calls."""
    names = {each.id for each in ast.walk(expression) if isinstance(each, ast.Name)}
    if depth:
        functions = {each.name: each for each in module.definitions}
        for name in names & set(functions):
            if not any(parent is functions[name] for parent in module.above(expression)):
                names = names | _names(module, ast.Module(functions[name].body, []), depth - 1)
    return names


RUN_IN_LOOP: Final = Rule(
    id="run-in-running-loop",
    says="{it} is called where an event loop is already running: it raises a RuntimeError, and the "
    "coroutine never runs.",
    example="`asyncio.run(…)`",
    remedy="`await` the coroutine. Run what must stay synchronous in a thread: "
    "`await asyncio.to_thread(function)`.",
    reason="Notebook 12. The rule covers `async` functions, cells of notebooks, and modules that "
    "await at the outermost level.",
    words=("asyncio", "anyio", "uvloop", "run_until_complete"),
    look=_run_in_loop,
)
NEST_ASYNCIO: Final = Rule(
    id="nest-asyncio",
    says="{it} changes asyncio for the whole process and for good: a run inside a run delays the "
    "time-outs outside of it, or loses them.",
    example="`nest_asyncio.apply()`",
    remedy="`await`, or `await asyncio.to_thread(…)` around the code that calls `asyncio.run`. "
    "If neither is possible, bound the model: `ChatVllm(timeout=…)`.",
    reason="Notebook 12. nest_asyncio is no longer maintained, breaks `asyncio.timeout` on "
    "Python 3.14 and refuses uvloop.",
    words=("nest_asyncio", "nesting"),
    look=_nesting,
)
CLIENT_ACROSS_LOOPS: Final = Rule(
    id="client-across-loops",
    says="{it} is made once and used by several runs: each `asyncio.run` has its own loop, and a "
    "pooled connection from an earlier loop fails with “Event loop is closed”.",
    example="`model`",
    remedy="Use one `asyncio.run` around everything and `await` inside, "
    "or `ChatVllm`, which keeps a client for each loop.",
    reason="Notebook 12: every second run fails, or sends its request twice. The rule covers runs "
    "one after the other or in a loop, but not the arms of an `if`.",
    words=("asyncio", "anyio", "uvloop"),
    look=_client_across_loops,
)
