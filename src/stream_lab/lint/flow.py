"""Where a call works: at once, or where its iterator is read."""

import ast
from collections.abc import Callable, Iterator
from typing import Final

from stream_lab.lint.definitions import define
from stream_lab.lint.module import Module, method

READ: Final = frozenset(
    "list tuple set frozenset dict sum any all next max min sorted functools.reduce".split()
)
"""Functions that read the iterator which they are given."""
PASSED_ON: Final = frozenset("enumerate zip map filter iter reversed".split())
"""Functions that return an iterator over the one which they are given."""
STILL_DIRECT: Final = frozenset(
    "staticmethod classmethod functools.lru_cache functools.cache functools.wraps "
    "abc.abstractmethod typing.override".split()
)
"""Decorators after which a call of the function still runs it in the caller's thread."""

Search = Callable[[Module, ast.Call], str]
"""Returns what a call is, for a sentence; empty if it is of no interest."""


def is_read_here(module: Module, iterator: ast.AST) -> bool:
    """Tell whether the function that makes an iterator also reads it.

    A framework that is given the iterator, such as `StreamingResponse`, reads it in a thread.
    """
    above = module.parent.get(iterator)
    match above:
        case ast.For():
            return above.iter is iterator
        case ast.comprehension():
            owner = module.parent[above]
            return not isinstance(owner, ast.GeneratorExp) or is_read_here(module, owner)
        case ast.Starred() | ast.YieldFrom() | ast.withitem():
            return True
        case ast.Call() if above.func is not iterator:
            name = module.dotted(above.func)
            if name in PASSED_ON or name.startswith("itertools."):
                return is_read_here(module, above)
            return name in READ or method(above) in ("join", "extend", "writelines")
        case ast.Assign() | ast.AnnAssign() | ast.NamedExpr():
            target = above.targets[0] if isinstance(above, ast.Assign) else above.target
            return isinstance(target, ast.Name) and any(
                is_read_here(module, use) for use in _uses(module, target)
            )
    return False


def _uses(module: Module, target: ast.Name) -> Iterator[ast.Name]:
    """Yield the later uses of a name in the function that assigns it."""
    function = module.function(target)
    for each in ast.walk(function or module.source.tree):
        if (
            isinstance(each, ast.Name)
            and each.id == target.id
            and isinstance(each.ctx, ast.Load)
            and each.lineno >= target.lineno
            and module.function(each) is function
        ):
            yield each


def runs_here(module: Module, node: ast.AST) -> bool:
    """Tell whether the function around a node runs it, as for no lazy expression."""
    below = node
    for above in module.above(node):
        if isinstance(above, ast.GeneratorExp):
            first = above.generators[0]
            if not (below is first and _is_within(module, node, first.iter)):
                return is_read_here(module, above)
        elif isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return True
        below = above
    return True


def _is_within(module: Module, node: ast.AST, outer: ast.AST) -> bool:
    return node is outer or any(above is outer for above in module.above(node))


def is_generator(module: Module, function: ast.FunctionDef) -> bool:
    """Tell whether a function is a generator."""
    return any(
        module.function(each) is function
        for each in (*module.all(ast.Yield), *module.all(ast.YieldFrom))
    )


def through_functions(
    module: Module, names: frozenset[str], finds: Search, *, generators: bool
) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls of functions of the module that do the work of other calls.

    Args:
        module: The module.
        names: The methods and functions that `finds` may find, by the last part of their name.
        finds: Says what a call is.
        generators: Whether only generators count, and no plain functions.
    """
    inner: dict[ast.FunctionDef, str] = {}
    for name in names:
        for call in module.calls.get(name, []):
            function = module.function(call)
            if (
                isinstance(function, ast.FunctionDef)
                and function not in inner
                and _is_direct(module, function)
                and runs_here(module, call)
                and (not generators or is_generator(module, function))
                and (it := finds(module, call))
            ):
                inner[function] = it
    pending = list(inner)
    while pending:
        helper = pending.pop()
        lazy = is_generator(module, helper)
        for call in module.calls.get(helper.name, []):
            found = define(module, call.func, depth=0)
            if found is None or found.node is not helper:
                continue
            if not (is_read_here(module, call) if lazy else runs_here(module, call)):
                continue
            caller = module.function(call)
            if isinstance(caller, ast.AsyncFunctionDef):
                yield call, f"`{helper.name}`, which calls {inner[helper]},"
            elif (
                isinstance(caller, ast.FunctionDef)
                and caller not in inner
                and _is_direct(module, caller)
            ):
                inner[caller] = inner[helper]
                pending.append(caller)


def _is_direct(module: Module, function: ast.FunctionDef) -> bool:
    return all(
        module.dotted(each.func if isinstance(each, ast.Call) else each) in STILL_DIRECT
        for each in function.decorator_list
    )
