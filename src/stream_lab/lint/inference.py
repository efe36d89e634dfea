"""What a name's value probably is: a chain, a blocking or asynchronous client.

Nothing is run, so the assignment, the annotation or the class of a name decides, in this module or
in the one that it is imported from. The words of a name decide only where nothing else does.
"""

import ast
import re
from collections.abc import Iterator

from stream_lab.lint import kinds
from stream_lab.lint.definitions import Definition, define, imported
from stream_lab.lint.kinds import WORDS, Kind
from stream_lab.lint.module import Function, Module, is_own

DEPTH = 8
"""The most steps from a name to its origin."""


def kind(module: Module, expression: ast.AST, depth: int = DEPTH) -> Kind | None:
    """Return the kind of an expression's value. None: nothing in sight tells."""
    if depth == 0:
        return None
    match expression:
        case ast.Await() | ast.NamedExpr() | ast.Starred():
            return kind(module, expression.value, depth - 1)
        case ast.IfExp():
            return _agreed(module, [expression.body, expression.orelse], depth)
        case ast.BoolOp():
            return _agreed(module, expression.values, depth)
        case ast.BinOp(op=ast.BitOr()):
            return _chained(module, expression, depth)
        case ast.Call():
            return _made(module, expression, depth)
        case ast.Name() | ast.Attribute():
            return _named(module, expression, depth)
        case (
            ast.Dict()
            | ast.List()
            | ast.Tuple()
            | ast.Set()
            | ast.Constant()
            | ast.JoinedStr()
            | ast.ListComp()
            | ast.DictComp()
            | ast.Compare()
            | ast.Lambda()
        ):
            return Kind.OTHER
    return None


def is_runnable(module: Module, expression: ast.AST) -> bool:
    """Tell whether it is a LangChain runnable, by its origin, or else by its name.

    A prompt or a parser is none here, since its call waits for nothing.
    """
    found = kind(module, expression)
    if found is None:
        return bool(words(expression) & WORDS)
    return found in (Kind.RUNNABLE, Kind.BOUNDED)


def words(expression: ast.AST) -> set[str]:
    """Return the words of the name: {"rag", "chain"} for `self.rag_chain.with_config(…)`."""
    match expression:
        case ast.Name():
            name = expression.id
        case ast.Attribute():
            name = expression.attr
        case ast.Call(func=ast.Attribute() as func) if kinds.PASS_ON.match(func.attr):
            return words(func.value)
        case ast.Call(func=ast.Name() | ast.Attribute() as maker):
            return words(maker)
        case ast.BinOp(op=ast.BitOr()):
            return words(expression.left) | words(expression.right)
        case _:
            return set()
    return {piece.lower() for piece in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _chained(module: Module, pipe: ast.BinOp, depth: int) -> Kind | None:
    sides = {kind(module, pipe.left, depth - 1), kind(module, pipe.right, depth - 1)}
    if Kind.RUNNABLE in sides:
        return Kind.RUNNABLE
    if Kind.BOUNDED in sides:
        return Kind.BOUNDED
    if sides <= {Kind.INSTANT, Kind.OTHER}:
        return Kind.INSTANT if Kind.INSTANT in sides else None
    return Kind.RUNNABLE if Kind.INSTANT in sides else None


def _agreed(module: Module, values: list[ast.expr], depth: int) -> Kind | None:
    """Return the kind that values share; `None` and unknown values do not count."""
    found = {
        kind(module, value, depth - 1)
        for value in values
        if not (isinstance(value, ast.Constant) and value.value is None)
    }
    if len(found) > 1 and found <= {Kind.RUNNABLE, Kind.BOUNDED}:
        return Kind.RUNNABLE
    if len(found) == 1:
        return found.pop()
    known = found - {None}
    return known.pop() if len(known) == 1 and Kind.OTHER not in known else None


def _made(module: Module, call: ast.Call, depth: int) -> Kind | None:
    name = module.dotted(call.func)
    definition = None if name.startswith(kinds.LANGCHAIN) else define(module, call.func)
    if definition is not None:
        return _of_definition(definition, depth)
    if name and (found := _by_name(name)) is not None:
        return found
    if isinstance(call.func, ast.Attribute):
        if kinds.PASS_ON.match(call.func.attr):
            return kind(module, call.func.value, depth - 1)
        if call.func.attr == "compile":
            return Kind.RUNNABLE if module.uses("langgraph") else None
        if call.func.attr == "as_retriever":
            return Kind.RUNNABLE
    if name.startswith(("functools.partial", "typing.cast")) and len(call.args) > 1:
        return kind(module, call.args[1], depth - 1)
    # `get_llm()` of a module that is not here: only the words can tell.
    last = name.rpartition(".")[2]
    return None if not last or last[:1].islower() or last.startswith("_") else Kind.OTHER


def _by_name(name: str) -> Kind | None:
    """Return the kind of what a call of this full name makes."""
    last = name.rpartition(".")[2]
    if last in kinds.BOUNDED:
        return Kind.BOUNDED
    if name in kinds.SYNC_CLIENTS:
        return Kind.SYNC_CLIENT
    if name in kinds.ASYNC_CLIENTS:
        return Kind.ASYNC_CLIENT
    if name in kinds.POOLS:
        return Kind.POOL
    if name == "threading.Thread":
        return Kind.THREAD
    if kinds.INSTANTS.search(last):
        return Kind.INSTANT
    if last in kinds.MAKERS or (kinds.MODELS.match(last) and not kinds.NOT_MODELS.search(last)):
        return Kind.RUNNABLE
    if name.startswith(kinds.LANGCHAIN) and kinds.LANGCHAIN_MAKERS.search(last):
        return Kind.RUNNABLE if last != "StateGraph" else Kind.OTHER
    maker = name.rpartition(".")[0].rpartition(".")[2]
    if last.startswith("from_") and maker:
        if kinds.INSTANTS.search(maker):
            return Kind.INSTANT
        if maker.endswith(("Chain", "AgentExecutor", "RetrievalQA")):
            return Kind.RUNNABLE
    return None


def _of_definition(definition: Definition, depth: int) -> Kind | None:
    """Return the kind that a class or function of the project makes."""
    module, node = definition
    if isinstance(node, ast.ClassDef):
        return _of_class(definition, depth)
    if node.returns is not None and (found := _annotated(module, node.returns, depth)) is not None:
        return found
    values = [
        each.value
        for each in module.all(ast.Return)
        if each.value is not None and module.function(each) is node
    ]
    return _agreed(module, values, depth) if values else None


def _of_class(definition: Definition, depth: int) -> Kind:
    module, node = definition
    assert isinstance(node, ast.ClassDef)
    for base in node.bases:
        inner = base.value if isinstance(base, ast.Subscript) else base
        if module.dotted(inner).rpartition(".")[2] == "DeadlineMixin":
            return Kind.BOUNDED
        found = _of_type(module, inner, depth - 1)
        if found is not None and found is not Kind.OTHER:
            return found
    return Kind.OTHER


def _named(module: Module, name: ast.Name | ast.Attribute, depth: int) -> Kind | None:
    if is_own(name):
        inside = module.class_of(name)
        assert isinstance(name, ast.Attribute)
        return None if inside is None else _attribute(Definition(module, inside), name.attr, depth)
    if isinstance(name, ast.Name) and (origins := _origins(module, name)):
        return _of_origins(module, origins, depth)
    if (there := imported(module, name)) is not None:
        other, last = there
        return kind(other, other.outermost(last), depth - 1)
    return _member(module, name, depth) if isinstance(name, ast.Attribute) else None


def _of_origins(module: Module, origins: list[ast.AST], depth: int) -> Kind | None:
    """Return the kind that values agree on; where they do not tell, what annotations say."""
    values = [each for each in origins if isinstance(each, ast.expr)]
    found = _agreed(module, values, depth)
    if found is not None and found is not Kind.OTHER:
        return found
    said = [
        _annotated(module, each.annotation, depth - 1)
        for each in origins
        if isinstance(each, ast.arg | ast.AnnAssign) and each.annotation is not None
    ]
    return _first(iter([*said, found]))


def _attribute(definition: Definition, name: str, depth: int) -> Kind | None:
    """Return the kind of an attribute of a class or of its bases."""
    module, node = definition
    if depth <= 0 or not isinstance(node, ast.ClassDef):
        return None
    origins: list[ast.AST] = [
        value
        for target, value in module.assigned.get(name, [])
        if module.class_of(target) is node
        and (is_own(target) or module.function(target) is None)
        and not _is_nothing(value)
    ]
    origins += [each for each in module.declared.get(name, []) if module.class_of(each) is node]
    if origins:
        return _of_origins(module, origins, depth)
    for base in node.bases:
        above = define(module, base)
        if above is not None and (found := _attribute(above, name, depth - 1)) is not None:
            return found
    return None


def _member(module: Module, name: ast.Attribute, depth: int) -> Kind | None:
    """Return the kind of `service.chain` where the class of `service` is in sight."""
    for origin in _origins(module, name.value) if isinstance(name.value, ast.Name) else ():
        made = (
            origin.func
            if isinstance(origin, ast.Call)
            else origin.annotation
            if isinstance(origin, ast.arg | ast.AnnAssign)
            else None
        )
        if made is not None and (definition := define(module, made)) is not None:
            return _attribute(definition, name.attr, depth - 1)
    return None


def _origins(module: Module, name: ast.Name) -> list[ast.AST]:
    """Return the values and annotations of a name in its nearest scope."""
    assigned = [
        (target, value)
        for target, value in module.assigned.get(name.id, [])
        # A value of None stands in until the real one is assigned.
        if isinstance(target, ast.Name) and not _is_nothing(value)
    ]
    for scope in (*module.functions(name), None):
        shared = scope is None and name.id in module.globals
        here: list[ast.AST] = [
            value for target, value in assigned if shared or module.function(target) is scope
        ]
        here += [
            each for each in module.declared.get(name.id, []) if module.function(each) is scope
        ]
        if scope is not None:
            here += [each for each in _arguments(scope) if each.arg == name.id]
        if here:
            return here
    return []


def is_outermost(module: Module, name: ast.Name) -> bool:
    """Tell whether a name belongs to the module and to no function around it."""
    if name.id in module.globals:
        return True
    targets = [target for target, _ in module.assigned.get(name.id, [])]
    return not any(
        any(module.function(target) is scope for target in targets)
        or any(each.arg == name.id for each in _arguments(scope))
        for scope in module.functions(name)
    )


def _arguments(scope: Function) -> Iterator[ast.arg]:
    yield from (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)


def _is_nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _annotated(module: Module, annotation: ast.expr, depth: int) -> Kind | None:
    """Return the kind that an annotation names. None: it says nothing, like `Any`."""
    if depth <= 0:
        return None
    match annotation:
        case ast.Constant(value=str(text)):
            try:
                inner = ast.parse(text, mode="eval").body
            except (SyntaxError, ValueError):
                return None
            return _annotated(module, inner, depth - 1)
        case ast.Constant(value=None):
            return None
        case ast.BinOp(op=ast.BitOr()):
            sides = [annotation.left, annotation.right]
            return _first(_annotated(module, side, depth - 1) for side in sides)
        case ast.Subscript():
            last = module.dotted(annotation.value).rpartition(".")[2]
            if last in kinds.WRAPPERS:
                inner = annotation.slice
                sides = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                if last == "Annotated":
                    sides = sides[:1]
                return _first(_annotated(module, side, depth - 1) for side in sides)
            return _annotated(module, annotation.value, depth - 1)
    return _of_type(module, annotation, depth)


def _of_type(module: Module, named: ast.expr, depth: int) -> Kind | None:
    """Return the kind of a class's instances. None: they may be anything."""
    name = module.dotted(named)
    last = name.rpartition(".")[2]
    if depth <= 0 or not last or last in kinds.UNTYPED or len(last) == 1:
        return None
    if not name.startswith(kinds.LANGCHAIN):
        definition = define(module, named)
        if definition is not None and isinstance(definition.node, ast.ClassDef):
            return _of_class(definition, depth)
    if last in kinds.TYPES:
        return Kind.RUNNABLE
    if (found := _by_name(name)) is not None:
        return found
    return None if name.startswith(kinds.LANGCHAIN) else Kind.OTHER


def _first(found: Iterator[Kind | None]) -> Kind | None:
    """Return the kind that annotations name. None: they name several, as `A | B`."""
    known = [each for each in found if each is not None]
    special = {each for each in known if each is not Kind.OTHER}
    if special == {Kind.RUNNABLE, Kind.BOUNDED}:
        return Kind.RUNNABLE
    if len(special) > 1:
        return None
    return special.pop() if special else known[0] if known else None
