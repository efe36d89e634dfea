"""Event loops inside event loops, and clients that outlive their loop."""

import ast
import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from stream_lab.lint.definitions import define
from stream_lab.lint.inference import is_outermost, kind
from stream_lab.lint.kinds import Kind
from stream_lab.lint.module import Module, method, written
from stream_lab.lint.rule import Hit, Rule
from stream_lab.lint.rules.web import ROUTES, is_route

RUNS: Final = frozenset({"asyncio.run", "anyio.run", "uvloop.run"})
NESTING: Final = frozenset(
    {
        "nest_asyncio.apply",
        "nest_asyncio2.apply",
        "stream_lab.nesting.apply",
        "stream_lab.experiment.nesting.apply",
    }
)
SHARED: Final = frozenset({Kind.RUNNABLE, Kind.ASYNC_CLIENT})
"""What keeps connections to a loop."""
CACHES: Final = ("lru_cache", "cache", "cache_resource", "cached")
TASKS: Final = frozenset(
    "task shared_task actor periodic_task db_task db_periodic_task job scheduled_job".split()
)
"""Decorators of Celery, Dramatiq, Huey, RQ and APScheduler."""
ENQUEUES: Final = ("enqueue", "enqueue_call", "enqueue_in", "enqueue_at", "add_job", "apply_async")
CALLBACKS: Final = frozenset({"lambda_handler", "do_GET", "do_POST"})
DEPTH: Final = 4
"""The most functions between a run and the client."""


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
    runs = list(_runs(module))
    # Statements of one block run one after the other; the arms of an `if` do not.
    blocks = [id(module.block(module.statement(call))) for call, _ in runs]
    seen: Counter[tuple[int, str]] = Counter()
    for (call, work), block in zip(runs, blocks, strict=True):
        repeated = _repeated(module, call)
        if (not repeated and blocks.count(block) == 1) or (
            module.function(call) is None and module.loop_runs
        ):
            continue
        for name in _clients(module, work):
            before = seen[block, name]
            seen[block, name] += 2 if repeated else 1
            if before < 2 <= seen[block, name]:
                yield Hit(call, f"`{name}`", repeated if repeated != "loop" else "")


def _runs(module: Module) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Yield each call that runs a coroutine in a new loop, with the coroutine."""
    for call in module.all(ast.Call):
        if module.dotted(call.func) in RUNS and call.args:
            yield call, call.args[0]
        elif (
            isinstance(call.func, ast.Call)
            and module.dotted(call.func.func) == "asgiref.sync.async_to_sync"
            and call.func.args
        ):
            yield call, call.func.args[0]
        elif (
            method(call) in ("run_until_complete", "run")
            and call.args
            and _is_new_loop(module, call)
        ):
            yield call, call.args[0]


def _is_new_loop(module: Module, call: ast.Call) -> bool:
    """Tell whether the function makes the loop, or the `Runner`, of a run."""
    assert isinstance(call.func, ast.Attribute)
    loop: ast.expr = call.func.value
    values = [loop]
    if isinstance(loop, ast.Name):
        function = module.function(call)
        values = [
            value
            for target, value in module.assigned.get(loop.id, [])
            if module.function(target) is function and function is not None
        ]
    return any(
        isinstance(value, ast.Call)
        and module.dotted(value.func) in ("asyncio.new_event_loop", "asyncio.Runner")
        for value in values
    )


def _clients(module: Module, work: ast.expr) -> list[str]:
    """Return the clients of modules that a coroutine uses, through the functions that it calls."""
    found: dict[str, None] = {}
    pending: list[tuple[Module, ast.AST, int]] = [(module, work, DEPTH)]
    seen: set[ast.AST] = set()
    while pending:
        where, root, depth = pending.pop()
        for each in ast.walk(root):
            if isinstance(each, ast.Call) and _is_cached(where, each):
                if kind(where, each) in SHARED:
                    found[f"{written(each.func).strip('`')}()"] = None
                continue
            if not isinstance(each, ast.Name | ast.Attribute):
                continue
            if (
                isinstance(each, ast.Name)
                and is_outermost(where, each)
                and kind(where, each) in SHARED
            ):
                found[each.id] = None
                continue
            definition = define(where, each) if depth else None
            if (
                definition is not None
                and not isinstance(definition.node, ast.ClassDef)
                and definition.node not in seen
            ):
                seen.add(definition.node)
                pending += [(definition.module, line, depth - 1) for line in definition.node.body]
    return sorted(found)


def _is_cached(module: Module, call: ast.Call) -> bool:
    """Tell whether a call returns what an earlier call has made."""
    definition = define(module, call.func)
    return definition is not None and any(
        definition.module.dotted(each.func if isinstance(each, ast.Call) else each).endswith(CACHES)
        for each in definition.node.decorator_list
    )


def _repeated(module: Module, call: ast.AST, depth: int = 3) -> str:
    """Return "loop", or a sentence, if a run is repeated. Empty: it is not."""
    for parent in module.above(call):
        if isinstance(parent, ast.For | ast.While):
            return "loop"
        if isinstance(parent, ast.Lambda | ast.AsyncFunctionDef):
            return ""
        if isinstance(parent, ast.FunctionDef):
            if is_route(module, parent) or _is_view(module, parent):
                return f"`{parent.name}` runs for each request."
            if _is_task(module, parent):
                return f"`{parent.name}` runs for each task."
            for outer in module.calls.get(parent.name, []) if depth else ():
                found = define(module, outer.func, depth=0)
                if found is None or found.node is not parent:
                    continue
                if again := _repeated(module, outer, depth - 1):
                    return again
            return ""
    return ""


def _is_view(module: Module, function: ast.FunctionDef) -> bool:
    """Tell whether a function is a method of a view, as in Django and Flask."""
    inside = module.parent.get(function)
    return (
        function.name in ROUTES
        and isinstance(inside, ast.ClassDef)
        and any(module.dotted(base).endswith(("View", "Resource")) for base in inside.bases)
    )


def _is_task(module: Module, function: ast.FunctionDef) -> bool:
    """Tell whether a worker or a platform calls a function for each task."""
    for decorator in function.decorator_list:
        maker = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(maker).rpartition(".")[2] in TASKS:
            return True
    if function.name in CALLBACKS or (
        function.name == "handler"
        and [each.arg for each in function.args.args] == ["event", "context"]
    ):
        return True
    inside = module.parent.get(function)
    if isinstance(inside, ast.ClassDef) and function.name in ("run", "perform"):
        return any(
            module.dotted(base).rpartition(".")[2] in ("Task", "GenericActor", "AbortableTask")
            for base in inside.bases
        )
    return any(
        any(isinstance(each, ast.Name) and each.id == function.name for each in call.args)
        for name in ENQUEUES
        for call in module.calls.get(name, [])
    )


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
    "one after the other, in a loop, in a web handler and in a task of Celery, Dramatiq, Huey, RQ "
    "or APScheduler, but not the arms of an `if`; clients of a module, also of another file.",
    words=("asyncio", "anyio", "uvloop", "async_to_sync"),
    look=_client_across_loops,
)
