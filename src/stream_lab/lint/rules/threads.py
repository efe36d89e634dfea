"""Time-outs around work in a thread, which goes on when they end."""

import ast
from collections.abc import Iterator
from typing import Final

from stream_lab.lint.definitions import define
from stream_lab.lint.flow import runs_here
from stream_lab.lint.inference import is_runnable, kind
from stream_lab.lint.kinds import Kind
from stream_lab.lint.module import Module, is_constant, keyword, method, written
from stream_lab.lint.rule import Hit, Rule
from stream_lab.lint.rules.blocking import CALLED, SENDS
from stream_lab.lint.rules.scopes import SCOPES, is_endless

IN_THREAD: Final = frozenset(
    "asyncio.to_thread anyio.to_thread.run_sync starlette.concurrency.run_in_threadpool "
    "fastapi.concurrency.run_in_threadpool trio.to_thread.run_sync".split()
)
"""Functions that return when the thread has done its work."""
UNBOUNDING: Final = frozenset({"stream_deadline.deadline", "anyio.CancelScope", "trio.CancelScope"})
"""Scopes that set no time, or that a synchronous call obeys."""
AROUND: Final = frozenset(
    "asyncio.shield asyncio.create_task asyncio.ensure_future asyncio.gather asyncio.wrap_future "
    "asyncio.wait asyncio.as_completed concurrent.futures.wait concurrent.futures.as_completed "
    "asgiref.sync.sync_to_async".split()
)
WAITS: Final = frozenset(
    "asyncio.wait asyncio.as_completed concurrent.futures.wait concurrent.futures.as_completed "
    "asyncio.wait_for".split()
)
TOGETHER: Final = (
    ast.List, ast.Tuple, ast.Set, ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp,
    ast.Dict, ast.Starred, ast.Await, ast.keyword,
)  # fmt: skip
"""What work stands in on its way to a wait."""


def _around_thread(module: Module) -> Iterator[Hit]:
    for name in ("to_thread", "run_sync", "run_in_threadpool", "run_in_executor", "submit", "map"):
        for call in module.calls.get(name, []):
            given = _given(module, call)
            if given and (note := _bound_of(module, call)) is not None:
                it = next((it for each in given if (it := _answers(module, each))), "")
                if it:
                    yield Hit(call, it, note)
    for call in module.calls.get("Thread", []):
        target = keyword(call, "target")
        if (
            target is not None
            and kind(module, call) is Kind.THREAD
            and _is_joined(module, call)
            and (it := _answers(module, target))
        ):
            yield Hit(call, it)


def _given(module: Module, call: ast.Call) -> list[ast.expr]:
    """Return the arguments that a call hands to a thread. Empty: it does not."""
    name, last = module.dotted(call.func), method(call)
    if name in IN_THREAD or name.endswith((".run_in_threadpool", "to_thread.run_sync")):
        return call.args
    if last == "run_in_executor":
        return call.args[1:]
    if last in ("submit", "map") and isinstance(call.func, ast.Attribute):
        pool = call.func.value
        found = kind(module, pool)
        if found is Kind.POOL or (found is None and last == "submit" and _is_pool(pool)):
            return call.args
    return []


def _is_pool(expression: ast.expr) -> bool:
    return any(word in ast.unparse(expression).lower() for word in ("pool", "executor"))


def _bound_of(module: Module, call: ast.Call) -> str | None:
    """Return a remark about the time-out around a call, or "". None: no time-out."""
    waits = (method(call) == "map" and not is_endless(keyword(call, "timeout"))) or _is_waited_for(
        module, call
    )
    pool = _pool_around(module, call)
    if waits:
        return (
            f"And leaving `with {pool}` waits for the thread, so even the error comes late."
            if pool
            else ""
        )
    scope = _scope_around(module, call)
    if scope is None:
        return "" if _is_bounded_by_caller(module, call) else None
    if scope.startswith(("anyio.", "trio.")) and method(call) == "run_sync":
        given = keyword(call, "abandon_on_cancel", "cancellable")
        if given is None or is_constant(given, False):
            return "And `run_sync` waits for its thread, so even the error comes late."
    return ""


def _is_bounded_by_caller(module: Module, call: ast.Call) -> bool:
    """Tell whether the function around a call is called with a time-out."""
    function = module.function(call)
    if not isinstance(function, ast.AsyncFunctionDef):
        return False
    for outer in module.calls.get(function.name, []):
        if _is_waited_for(module, outer) or _scope_around(module, outer) is not None:
            found = define(module, outer.func, depth=0)
            if found is not None and found.node is function:
                return True
    return False


def _is_waited_for(module: Module, expression: ast.expr) -> bool:
    """Tell whether work that runs elsewhere is waited for with a time-out."""
    node: ast.AST = expression
    for above in module.above(expression):
        match above:
            case ast.Call() if above.func is not node:
                name = module.dotted(above.func)
                if name in WAITS and _has_timeout(name, above):
                    return True
                if not (name in AROUND or method(above) in ("create_task", "append", "add")):
                    return False
                if method(above) in ("append", "add"):
                    assert isinstance(above.func, ast.Attribute)
                    return _is_bounded_later(module, above.func.value)
            case ast.Attribute(attr="result" | "exception") if above.value is node:
                outer = module.parent.get(above)
                return isinstance(outer, ast.Call) and not is_endless(
                    outer.args[0] if outer.args else keyword(outer, "timeout")
                )
            case ast.Assign():
                return _is_bounded_later(module, above.targets[0])
            case ast.AnnAssign() | ast.NamedExpr():
                return _is_bounded_later(module, above.target)
            case ast.comprehension() | ast.Call():
                return False
            case _ if not isinstance(above, TOGETHER):
                return False
        node = above
    return False


def _has_timeout(name: str, call: ast.Call) -> bool:
    given = keyword(call, "timeout")
    if given is None and name != "asyncio.wait" and len(call.args) > 1:
        given = call.args[1]
    return not is_endless(given)


def _is_bounded_later(module: Module, target: ast.expr) -> bool:
    """Tell whether a future, or a list of them, gets a time-out later."""
    if isinstance(target, ast.Subscript):
        target = target.value
    if not isinstance(target, ast.Name | ast.Attribute):
        return False
    text, function = ast.unparse(target), module.function(target)
    names = {text}
    # `for future in futures:`, also in a comprehension.
    for loop in module.loops:
        if module.function(loop) is function and text in ast.unparse(loop.iter):
            names |= {each.id for each in ast.walk(loop.target) if isinstance(each, ast.Name)}
    for call in (
        *module.calls.get("result", []), *module.calls.get("wait_for", []),
        *module.calls.get("wait", []), *module.calls.get("as_completed", []),
    ):  # fmt: skip
        if module.function(call) is not function and not isinstance(target, ast.Attribute):
            continue
        name = module.dotted(call.func)
        if method(call) == "result" and isinstance(call.func, ast.Attribute):
            given = call.args[0] if call.args else keyword(call, "timeout")
            if ast.unparse(call.func.value) in names and not is_endless(given):
                return True
        elif name in WAITS and call.args and _has_timeout(name, call):
            first = {
                ast.unparse(each) for each in ast.walk(call.args[0]) if type(each) is not ast.Load
            }
            if names & first:
                return True
    return False


def _scope_around(module: Module, node: ast.AST) -> str | None:
    """Return the name of the scope with a time-out around a node, in its function."""
    for above in module.above(node):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return None
        if isinstance(above, ast.With | ast.AsyncWith):
            for item in above.items:
                scope = item.context_expr
                name = module.dotted(scope.func) if isinstance(scope, ast.Call) else ""
                if name in SCOPES and name not in UNBOUNDING:
                    return name
    return None


def _pool_around(module: Module, call: ast.Call) -> str:
    """Return the pool, as code, whose `with` block surrounds a call. Empty: none."""
    if not isinstance(call.func, ast.Attribute):
        return ""
    used = {ast.unparse(each) for each in (call.func.value, *call.args[:1])}
    for above in module.above(call):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return ""
        for item in above.items if isinstance(above, ast.With | ast.AsyncWith) else ():
            if (
                item.optional_vars is not None
                and ast.unparse(item.optional_vars) in used
                and kind(module, item.context_expr) is Kind.POOL
            ):
                return written(item.context_expr).strip("`")
    return ""


def _is_joined(module: Module, thread: ast.Call) -> bool:
    above = module.parent.get(thread)
    if not isinstance(above, ast.Assign):
        return False
    name, function = ast.unparse(above.targets[0]), module.function(thread)
    return any(
        isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func.value) == name
        and module.function(call) is function
        and not is_endless(call.args[0] if call.args else keyword(call, "timeout"))
        for call in module.calls.get("join", [])
    )


def _answers(module: Module, work: ast.expr, depth: int = 3) -> str:
    """Return the model's unbounded call that a thread runs. Empty: there is none."""
    match work:
        case ast.Lambda():
            return _inside(module, work, depth)
        case ast.Call(func=func, args=[first, *_]) if module.dotted(func) == "functools.partial":
            return _answers(module, first, depth)
        case ast.Attribute() if _is_model_call(module, work):
            return written(work)
        case ast.Name() | ast.Attribute():
            found = define(module, work)
            if found is not None and isinstance(found.node, ast.FunctionDef):
                return _inside(found.module, found.node, depth)
    return ""


def _inside(module: Module, function: ast.Lambda | ast.FunctionDef, depth: int) -> str:
    for call in module.inside(function, ast.Call):
        if isinstance(call.func, ast.Attribute) and _is_model_call(module, call.func):
            return written(call.func) if runs_here(module, call) else ""
    if depth:
        for call in module.inside(function, ast.Call):
            if it := _answers(module, call.func, depth - 1):
                return it
    return ""


def _is_model_call(module: Module, work: ast.Attribute) -> bool:
    """Tell whether it is a blocking method of a model that has no bound."""
    if work.attr in CALLED:
        found = kind(module, work.value)
        if found is None and work.attr not in ("invoke", "batch", "stream"):
            return False
        return is_runnable(module, work.value) and found is not Kind.BOUNDED
    if work.attr not in SENDS or module.uses("stream_deadline"):
        return False
    base: ast.expr = work
    while isinstance(base, ast.Attribute):
        base = base.value
        if kind(module, base) is Kind.SYNC_CLIENT:
            return True
    return False


THREAD_OUTLIVES_TIMEOUT: Final = Rule(
    id="thread-outlives-timeout",
    says="The time-out ends the wait for {it} but not the thread: "
    "the call goes on, and so does the GPU.",
    example="`chain.invoke`",
    remedy="`await chain.ainvoke(…)`, which a time-out can cancel; "
    "or `ChatVllm(timeout=…)`, which is bounded in a thread too.",
    reason="Notebook 12: a thread cannot be stopped from outside. The rule covers `to_thread`, "
    "`run_in_executor`, `run_in_threadpool`, anyio's `run_sync`, `submit` and `map` of a pool, and "
    "`Thread`; a method of a model, alone or in a `partial`, a lambda or a function. "
    "Not in tests.",
    words=(
        *("to_thread", "run_in_executor", "run_in_threadpool", "run_sync"),
        *("submit(", "Thread(", "ThreadPoolExecutor"),
    ),
    look=_around_thread,
    in_tests=False,
)
