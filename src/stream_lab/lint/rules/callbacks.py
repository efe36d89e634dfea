"""Callbacks that cut a stream, and callbacks whose errors have no effect."""

import ast
from collections.abc import Iterator
from typing import Final

from stream_lab.lint.module import Module, is_constant
from stream_lab.lint.rule import Hit, Rule
from stream_lab.lint.rules.blocking import handlers, is_callback

BASES: Final = ("BaseCallbackHandler", "AsyncCallbackHandler")


def _can_cut(module: Module) -> Iterator[Hit]:
    for handler in handlers(module):
        if any("AsyncIterator" in module.dotted(base) for base in handler.bases):
            continue  # this handler is the stream itself
        if (statement := _raises_errors(module, handler)) is not None and not _catches_all(
            module, handler
        ):
            yield Hit(statement, f"`{handler.name}`")


def _raises_errors(module: Module, handler: ast.ClassDef) -> ast.stmt | None:
    for target, value in module.assigned.get("raise_error", []):
        own = (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == "self"
        )
        if (
            is_constant(value, True)
            and module.class_of(target) is handler
            and (own or module.function(target) is None)
        ):
            return module.statement(target)
    return None


def _catches_all(module: Module, handler: ast.ClassDef) -> bool:
    """Tell whether each callback of a handler is one `try` that lets no error out."""
    callbacks = [each for each in handler.body if is_callback(module, each)]
    return bool(callbacks) and all(
        _is_one_try(module, each)
        for each in callbacks
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _is_one_try(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = (
        function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    )
    if all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in body
    ):
        return True
    if len(body) != 1 or not isinstance(body[0], ast.Try) or module.inside(function, ast.Raise):
        return False
    return any(
        each.type is None or module.dotted(each.type) in ("Exception", "BaseException")
        for each in body[0].handlers
    )


def _unheard(module: Module) -> Iterator[Hit]:
    for handler in handlers(module):
        if (
            "raise_error" in module.assigned
            or len(handler.bases) != 1
            or not module.dotted(handler.bases[0]).endswith(BASES)
        ):
            continue  # the handler, or a base class, may set `raise_error`
        for each in module.all(ast.Raise):
            function = module.function(each)
            if (
                function is None
                or module.parent.get(function) is not handler
                or not is_callback(module, function)
            ):
                continue
            raised = each.exc.func if isinstance(each.exc, ast.Call) else each.exc
            if raised is not None and module.dotted(raised) == "NotImplementedError":
                continue  # LangChain then calls another method
            if not _is_caught(module, each, function):
                assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                yield Hit(each, f"`raise` in `{function.name}`")


def _is_caught(module: Module, statement: ast.stmt, function: ast.AST) -> bool:
    node: ast.AST = statement
    for parent in module.above(statement):
        if parent is function:
            return False
        if (
            isinstance(parent, ast.Try)
            and parent.handlers
            and any(node is each for each in parent.body)
        ):
            return True
        node = parent
    return False


CALLBACK_CAN_CUT: Final = Rule(
    id="callback-can-cut",
    says="`raise_error = True`: any error of {it} cuts the stream that it watches.",
    example="`Metrics`",
    remedy="Leave it at False, or wrap what is not part of the answer, "
    "as `SafeHandler` does in the project that `stream-lab new-relay` writes.",
    reason="Notebook 10, section 6. The rule skips handlers in which each callback is one `try` "
    "that lets no error out, and `AsyncIteratorCallbackHandler`, which is the stream itself.",
    words=("raise_error",),
    look=_can_cut,
)
CALLBACK_UNHEARD: Final = Rule(
    id="callback-unheard",
    says="{it} does not stop the stream: LangChain logs a warning and goes on, since this handler "
    "does not set `raise_error`.",
    example="`raise` in `on_llm_new_token`",
    remedy="To end a stream, leave the loop that reads it, or bound it: "
    "`with deadline(seconds):`, `ChatVllm(timeout=…)`.",
    reason="LangChain's default is False, for synchronous and asynchronous handlers alike "
    "(docs/cutoffs.md).",
    words=("CallbackHandler",),
    look=_unheard,
)
