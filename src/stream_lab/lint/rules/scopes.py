"""Time-outs that do not hold: across a `yield`, around a thread, or per read."""

import ast
from collections.abc import Iterator
from typing import Final

from stream_lab.lint.kinds import Kind, is_runnable, kind
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
    for block in module.withs:
        function = module.function(block)
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        for item in block.items:
            call = item.context_expr
            if not isinstance(call, ast.Call) or module.dotted(call.func) not in SCOPES:
                continue
            if call.args and is_constant(call.args[0], None):
                continue
            if not _is_context_manager(module, function) and any(
                any(parent is block for parent in module.above(each))
                for each in module.inside(function, ast.Yield)
            ):
                yield Hit(call, written(call))


def _is_context_manager(module: Module, function: ast.AsyncFunctionDef) -> bool:
    """Tell whether one task enters and leaves this generator.

    Its decorator says so, or its shape: one `yield` outside of loops, as in FastAPI's dependencies.
    """
    for decorator in function.decorator_list:
        name = module.dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name.endswith(MAKE_CONTEXT_MANAGERS):
            return True
    yields = module.inside(function, ast.Yield)
    repeated = (ast.For, ast.AsyncFor, ast.While)
    return len(yields) == 1 and not any(
        isinstance(parent, repeated) for parent in _within(module, yields[0], function)
    )


def _within(module: Module, node: ast.AST, outer: ast.AST) -> Iterator[ast.AST]:
    for parent in module.above(node):
        if parent is outer:
            return
        yield parent


def _around_thread(module: Module) -> Iterator[Hit]:
    for call in module.all(ast.Call):
        work = _work_of_thread(module, call)
        if work is None or not _is_bounded_here(module, call):
            continue
        if isinstance(work, ast.Lambda):
            work = work.body.func if isinstance(work.body, ast.Call) else work.body
        if isinstance(work, ast.Attribute) and _answers(module, work):
            yield Hit(call, written(work))


def _work_of_thread(module: Module, call: ast.Call) -> ast.expr | None:
    name = module.dotted(call.func)
    if name in ("asyncio.to_thread", "anyio.to_thread.run_sync") or name.endswith(
        ".run_in_threadpool"
    ):
        return call.args[0] if call.args else None
    if method(call) == "run_in_executor" and len(call.args) > 1:
        return call.args[1]
    return None


def _is_bounded_here(module: Module, call: ast.Call) -> bool:
    above = module.parent.get(call)
    if isinstance(above, ast.Call) and module.dotted(above.func) == "asyncio.wait_for":
        return True
    for parent in module.above(call):
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return False
        if isinstance(parent, ast.With | ast.AsyncWith):
            for item in parent.items:
                scope = item.context_expr
                name = module.dotted(scope.func) if isinstance(scope, ast.Call) else ""
                if name in SCOPES and name not in (
                    "stream_deadline.deadline",
                    "anyio.CancelScope",
                    "trio.CancelScope",
                ):
                    return True
    return False


def _answers(module: Module, work: ast.Attribute) -> bool:
    """Tell whether it is a blocking call of a model that has no bound."""
    if work.attr in ("invoke", "batch", "stream"):
        return is_runnable(module, work.value) and kind(module, work.value) is not Kind.BOUNDED
    base: ast.expr = work
    while isinstance(base, ast.Attribute):
        if kind(module, base) is Kind.SYNC_CLIENT:
            return True
        base = base.value
    return kind(module, base) is Kind.SYNC_CLIENT


PER_READ: Final = frozenset(
    "ChatOpenAI AzureChatOpenAI OpenAI AsyncOpenAI AzureOpenAI AsyncAzureOpenAI".split()
)
STREAMS: Final = frozenset("astream astream_events astream_log stream stream_events".split())


def _per_read(module: Module) -> Iterator[Hit]:
    if module.uses("stream_deadline"):
        return
    calls = module.all(ast.Call)
    if not any(_streams(call) for call in calls):
        return
    for call in calls:
        name = module.dotted(call.func)
        package, _, last = name.rpartition(".")
        if last not in PER_READ or not package.startswith(("openai", "langchain")):
            continue
        given = keyword(call, "timeout", "request_timeout")
        if given is None or is_constant(given, None) or isinstance(given, ast.Call | ast.Tuple):
            continue  # a time-out for each phase is not mistaken for a total
        yield Hit(call, f"`{last}(timeout={written(given, 20).strip('`')})`")


def _streams(call: ast.Call) -> bool:
    return method(call) in STREAMS or is_constant(keyword(call, "stream", "streaming"), True)


SCOPE_ACROSS_YIELD: Final = Rule(
    id="scope-across-yield",
    says="{it} is held across a `yield`: it cancels the task that entered it, which by then runs "
    "other code or, in a chain, has ended, so the deadline passes without effect.",
    example="`asyncio.timeout(45)`",
    remedy="Bound the stream from outside, `bounded(stream, seconds)`, or the model, "
    "`ChatVllm(timeout=…)`; or leave the scope before each `yield`.",
    reason="Notebook 05; PEP 789. The rule skips generators with one `yield` outside of loops, "
    "`@asynccontextmanager` and fixtures.",
    words=("timeout", "fail_a", "move_on_a", "CancelScope", "deadline"),
    look=_across_yield,
)
THREAD_OUTLIVES_TIMEOUT: Final = Rule(
    id="thread-outlives-timeout",
    says="The time-out ends the wait for {it} but not the thread: "
    "the call goes on, and so does the GPU.",
    example="`chain.invoke`",
    remedy="`await chain.ainvoke(…)`, which a time-out can cancel; "
    "or `ChatVllm(timeout=…)`, which is bounded in a thread too.",
    reason="Notebook 12: a thread cannot be stopped from outside.",
    words=("to_thread", "run_in_executor", "run_in_threadpool", "run_sync"),
    look=_around_thread,
)
TIMEOUT_PER_READ: Final = Rule(
    id="timeout-per-read",
    says="{it} bounds each read of the socket and not the whole answer: "
    "a stream that keeps sending is never cut.",
    example="`ChatOpenAI(timeout=45)`",
    remedy="`ChatVllm(timeout=…)` bounds the whole answer; with OpenAI's own client, use "
    "`bounded(stream, seconds)` or `bounded_sync`.",
    reason="Notebook 02. The rule applies only if the same module streams and imports nothing from "
    "stream_deadline. Not in tests.",
    words=("timeout",),
    look=_per_read,
    in_tests=False,
)
