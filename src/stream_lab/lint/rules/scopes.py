"""Time-outs that do not hold: across a `yield`, or per read."""

import ast
from collections.abc import Iterator
from typing import Final

from stream_lab.lint.module import Module, is_constant, keyword, method, written
from stream_lab.lint.rule import Hit, Rule

SCOPES: Final = frozenset(
    "asyncio.timeout asyncio.timeout_at async_timeout.timeout async_timeout.timeout_at "
    "anyio.fail_after anyio.move_on_after anyio.CancelScope trio.fail_after trio.fail_at "
    "trio.move_on_after trio.move_on_at trio.CancelScope stream_deadline.deadline".split()
)
MAKE_CONTEXT_MANAGERS: Final = ("contextmanager", "fixture")
"""Endings of decorators that turn a generator into a context manager, which one task uses."""


def _across_yield(module: Module) -> Iterator[Hit]:
    for function, scope, where in _entered(module):
        if not _is_context_manager(module, function) and any(
            _is_held_at(module, where, each) for each in module.inside(function, ast.Yield)
        ):
            yield Hit(scope, written(scope))


def _entered(module: Module) -> Iterator[tuple[ast.AsyncFunctionDef, ast.Call, ast.AST]]:
    """Yield the scopes that asynchronous functions enter: function, scope, and the place.

    The place is a `with` block, or the call by which a stack of contexts enters the scope.
    """
    own = _own_scopes(module)
    for block in module.withs:
        function = module.function(block)
        if isinstance(function, ast.AsyncFunctionDef):
            for item in block.items:
                if (scope := _scope(module, item.context_expr, own)) is not None:
                    yield function, scope, block
    for name in ("enter_context", "enter_async_context"):
        for call in module.calls.get(name, []):
            function = module.function(call)
            if (
                isinstance(function, ast.AsyncFunctionDef)
                and call.args
                and (scope := _scope(module, call.args[0], own)) is not None
            ):
                yield function, scope, call


def _scope(module: Module, expression: ast.expr, own: frozenset[str]) -> ast.Call | None:
    """Return the call that made a scope. None: the expression is not a scope."""
    if isinstance(expression, ast.Name):
        function = module.function(expression)
        values = [
            value
            for target, value in module.assigned.get(expression.id, [])
            if module.function(target) is function and value is not expression
        ]
        return _scope(module, values[0], own) if len(values) == 1 else None
    if not isinstance(expression, ast.Call):
        return None
    name = module.dotted(expression.func)
    if name not in SCOPES and name not in own:
        return None
    if name in SCOPES and expression.args and is_constant(expression.args[0], None):
        return None
    return expression


def _own_scopes(module: Module) -> frozenset[str]:
    """Return the module's context managers that hold a scope while they yield."""
    found = set()
    for block in module.withs:
        function = module.function(block)
        if (
            isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            and module.function(function) is None
            and any(_scope(module, item.context_expr, frozenset()) for item in block.items)
            and any(
                module.dotted(each).endswith("contextmanager") for each in function.decorator_list
            )
            and module.inside(block, ast.Yield)
        ):
            found.add(function.name)
    return frozenset(found)


def _is_held_at(module: Module, where: ast.AST, place: ast.Yield) -> bool:
    """Tell whether a scope that was entered at a place is held at a `yield`."""
    if isinstance(where, ast.With | ast.AsyncWith):
        return any(above is where for above in module.above(place))
    assert isinstance(where, ast.Call)
    if place.lineno <= where.lineno or not isinstance(where.func, ast.Attribute):
        return False
    stack = ast.unparse(where.func.value)
    return any(
        item.optional_vars is not None and ast.unparse(item.optional_vars) == stack
        for above in module.above(place)
        if isinstance(above, ast.With | ast.AsyncWith)
        for item in above.items
    )


def is_endless(seconds: ast.expr | None) -> bool:
    """Tell whether a time-out is missing, or `None`."""
    return seconds is None or is_constant(seconds, None)


def _is_context_manager(module: Module, function: ast.AsyncFunctionDef) -> bool:
    """Tell whether one task enters and leaves this generator.

    Its decorator says so, or its shape: one `yield` outside of loops, as in FastAPI's dependencies.
    A generator that this module reads is none.
    """
    for decorator in function.decorator_list:
        name = module.dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name.endswith(MAKE_CONTEXT_MANAGERS):
            return True
    yields = module.inside(function, ast.Yield)
    repeated = (ast.For, ast.AsyncFor, ast.While)
    return (
        len(yields) == 1
        and not any(isinstance(parent, repeated) for parent in _within(module, yields[0], function))
        and not any(_is_iterated(module, call) for call in module.calls.get(function.name, []))
    )


def _is_iterated(module: Module, call: ast.Call) -> bool:
    above = module.parent.get(call)
    return (isinstance(above, ast.AsyncFor | ast.comprehension) and above.iter is call) or (
        isinstance(above, ast.Call) and module.dotted(above.func) == "anext"
    )


def _within(module: Module, node: ast.AST, outer: ast.AST) -> Iterator[ast.AST]:
    for parent in module.above(node):
        if parent is outer:
            return
        yield parent


PER_READ: Final = frozenset(
    "ChatOpenAI AzureChatOpenAI OpenAI AsyncOpenAI AzureOpenAI AsyncAzureOpenAI".split()
)
STREAMS: Final = frozenset("astream astream_events astream_log stream stream_events".split())


def _per_read(module: Module) -> Iterator[Hit]:
    if module.uses("stream_deadline"):
        return
    calls = module.all(ast.Call)
    if not any(_streams(module, call) for call in calls):
        return
    for call in calls:
        name = module.dotted(call.func)
        package, _, last = name.rpartition(".")
        if last not in PER_READ or not package.startswith(("openai", "langchain")):
            continue
        given = keyword(call, "timeout", "request_timeout")
        if given is None or is_constant(given, None) or isinstance(given, ast.Call | ast.Tuple):
            continue  # a time-out for each phase is not mistaken for a total
        if not _may_stream(module, call):
            continue
        yield Hit(call, f"`{last}(timeout={written(given, 20).strip('`')})`")


def _streams(module: Module, call: ast.Call) -> bool:
    """Tell whether a call streams an answer, and not a download."""
    if module.dotted(call.func).startswith(("requests.", "httpx.", "httpx2.")):
        return False
    if method(call) in STREAMS:
        return not (call.args and is_constant(call.args[0], "GET", "POST"))
    return is_constant(keyword(call, "stream", "streaming"), True)


def _may_stream(module: Module, client: ast.Call) -> bool:
    """Tell whether a client may stream: it does, or other code may hold it.

    A client in a variable of a function is held by no other code if only its methods are called.
    """
    assigned, function = module.parent.get(client), module.function(client)
    if not isinstance(assigned, ast.Assign) or function is None:
        return True
    target = assigned.targets[0]
    if not isinstance(target, ast.Name) or is_constant(keyword(client, "streaming"), True):
        return True
    for use in ast.walk(function):
        if not isinstance(use, ast.Name) or use.id != target.id or use is target:
            continue
        node: ast.AST = use
        while isinstance(above := module.parent.get(node), ast.Attribute):
            node = above
        if node is use or not isinstance(above, ast.Call) or above.func is not node:
            return True
        if _streams(module, above):
            return True
    return False


SCOPE_ACROSS_YIELD: Final = Rule(
    id="scope-across-yield",
    says="{it} is held across a `yield`: it cancels the task that entered it, which by then runs "
    "other code or, in a chain, has ended, so the deadline passes without effect.",
    example="`asyncio.timeout(45)`",
    remedy="Bound the stream from outside, `bounded(stream, seconds)`, or the model, "
    "`ChatVllm(timeout=…)`; or leave the scope before each `yield`.",
    reason="Notebook 05; PEP 789. The rule skips `@asynccontextmanager`, fixtures, and generators "
    "with one `yield` outside of loops that the file does not read.",
    words=("timeout", "fail_a", "move_on_a", "CancelScope", "deadline"),
    look=_across_yield,
)
TIMEOUT_PER_READ: Final = Rule(
    id="timeout-per-read",
    says="{it} bounds each read of the socket and not the whole answer: "
    "a stream that keeps sending is never cut.",
    example="`ChatOpenAI(timeout=45)`",
    remedy="`ChatVllm(timeout=…)` bounds the whole answer; with OpenAI's own client, use "
    "`bounded(stream, seconds)` or `bounded_sync`.",
    reason="Notebook 02. The rule applies only if the same module streams and imports nothing from "
    "stream_deadline, and not to a local client whose own calls do not stream. Not in tests.",
    words=("timeout",),
    look=_per_read,
    in_tests=False,
)
