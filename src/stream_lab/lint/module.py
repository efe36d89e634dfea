"""The syntax tree of one file, with the questions that rules ask of it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from stream_lab.lint.files import Source

if TYPE_CHECKING:
    from stream_lab.lint.project import Project

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Node = TypeVar("Node", bound=ast.AST)

_KEPT: Final = (
    ast.Call, ast.With, ast.AsyncWith, ast.For, ast.AsyncFor, ast.Yield, ast.YieldFrom, ast.Await,
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.NamedExpr,
    ast.Import, ast.ImportFrom, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
    ast.Raise, ast.Return, ast.Global,
)  # fmt: skip
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_WITHOUT_NODES: Final = frozenset({"ctx", "op", "ops", "type_params", "keywords_"})


class Module:
    """A file, with its nodes by kind and the parent of each.

    Attributes:
        parent: the parent of each node but the outermost. Contexts and operators have none, since
            trees share them.
        imports: the full name behind each local name: {"timeout": "asyncio.timeout"}.
        project: the other files of the look, to follow an imported name. None: it is not followed.
    """

    def __init__(self, source: Source, project: "Project | None" = None) -> None:
        self.source = source
        self.project = project
        self.parent: dict[ast.AST, ast.AST] = {}
        self._functions: dict[ast.AST, Function | None] = {}
        self._kept: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        self._walk()
        self.imports: dict[str, str] = {}
        for plain in self.all(ast.Import):
            for alias in plain.names:
                self.imports[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        for each in self.all(ast.ImportFrom):
            for alias in each.names:
                self.imports[alias.asname or alias.name] = (
                    f"{'.' * each.level}{f'{each.module}.' if each.module else ''}{alias.name}"
                )

    @property
    def path(self) -> Path:
        return self.source.path

    @cached_property
    def is_test(self) -> bool:
        """Tell whether this is a test, where a blocking call delays no other client."""
        name, here = self.path.name, Path.cwd()
        path = self.path.relative_to(here) if self.path.is_relative_to(here) else self.path
        return (
            name.startswith("test_")
            or name.endswith("_test.py")
            or name == "conftest.py"
            or "tests" in path.parts[:-1]
        )

    @cached_property
    def loop_runs(self) -> bool:
        """Tell whether a loop runs at module level: in a notebook, or beside an `await`."""
        awaiting = (*self.all(ast.Await), *self.all(ast.AsyncFor), *self.all(ast.AsyncWith))
        return self.source.cells is not None or any(
            self.function(node) is None for node in awaiting
        )

    @cached_property
    def assigned(self) -> dict[str, list[tuple[ast.expr, ast.expr]]]:
        """Return the (target, value) pairs of each assigned name or attribute."""
        found: dict[str, list[tuple[ast.expr, ast.expr]]] = defaultdict(list)
        pairs = [(target, each.value) for each in self.all(ast.Assign) for target in each.targets]
        pairs += [
            (each.target, each.value) for each in self.all(ast.AnnAssign) if each.value is not None
        ]
        pairs += [(each.target, each.value) for each in self.all(ast.NamedExpr)]
        for block in self.withs:
            pairs += [
                (item.optional_vars, item.context_expr)
                for item in block.items
                if item.optional_vars is not None
            ]
        pairs += [
            pair
            for target, value in pairs
            if isinstance(target, ast.Tuple)
            and isinstance(value, ast.Tuple)
            and len(target.elts) == len(value.elts)
            for pair in zip(target.elts, value.elts, strict=True)
        ]
        for target, value in pairs:
            if isinstance(target, ast.Name | ast.Attribute):
                found[target.id if isinstance(target, ast.Name) else target.attr].append(
                    (target, value)
                )
        return found

    @cached_property
    def declared(self) -> dict[str, list[ast.AnnAssign]]:
        """Return the annotated assignments and declarations of each name or attribute."""
        found: dict[str, list[ast.AnnAssign]] = defaultdict(list)
        for each in self.all(ast.AnnAssign):
            if isinstance(each.target, ast.Name | ast.Attribute):
                name = each.target.id if isinstance(each.target, ast.Name) else each.target.attr
                found[name].append(each)
        return found

    @cached_property
    def defined(self) -> dict[str, list[Definition]]:
        """Return the classes and functions of each name."""
        found: dict[str, list[Definition]] = defaultdict(list)
        for each in (*self.definitions, *self.all(ast.ClassDef)):
            found[each.name].append(each)
        return found

    @cached_property
    def globals(self) -> frozenset[str]:
        """Return the names that functions assign at module level, by a `global` statement."""
        return frozenset(name for each in self.all(ast.Global) for name in each.names)

    def _walk(self) -> None:
        parent, kept = self.parent, self._kept
        wanted = frozenset(_KEPT)
        pending: list[ast.AST] = [self.source.tree]
        while pending:
            node = pending.pop()
            kind = type(node)
            if kind in wanted:
                kept[kind].append(node)
            for field in kind._fields:
                if field in _WITHOUT_NODES:
                    continue
                value = getattr(node, field, None)
                if type(value) is list:
                    for item in value:
                        if isinstance(item, ast.AST):
                            parent[item] = node
                            pending.append(item)
                elif isinstance(value, ast.AST):
                    parent[value] = node
                    pending.append(value)
        for nodes in kept.values():
            # All kinds kept have a place in the text.
            nodes.sort(key=lambda node: (node.lineno, node.col_offset))  # type: ignore[attr-defined]

    def all(self, kind: type[Node]) -> list[Node]:
        """Return all nodes of one kind, in the order of the text."""
        return self._kept.get(kind, [])  # type: ignore[return-value]  # filled by kind

    @cached_property
    def withs(self) -> list[ast.With | ast.AsyncWith]:
        return [*self.all(ast.With), *self.all(ast.AsyncWith)]

    @cached_property
    def loops(self) -> list[ast.For | ast.AsyncFor]:
        return [*self.all(ast.For), *self.all(ast.AsyncFor)]

    @cached_property
    def definitions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [*self.all(ast.FunctionDef), *self.all(ast.AsyncFunctionDef)]

    @cached_property
    def comprehensions(self) -> list[ast.ListComp | ast.SetComp | ast.GeneratorExp]:
        return [*self.all(ast.ListComp), *self.all(ast.SetComp), *self.all(ast.GeneratorExp)]

    @cached_property
    def calls(self) -> dict[str, list[ast.Call]]:
        """Return the calls by the last part of the name that is called."""
        found: dict[str, list[ast.Call]] = defaultdict(list)
        for call in self.all(ast.Call):
            if isinstance(call.func, ast.Name):
                found[call.func.id].append(call)
            elif isinstance(call.func, ast.Attribute):
                found[call.func.attr].append(call)
        return found

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the parents of a node, the nearest first."""
        while (parent := self.parent.get(node)) is not None:
            yield parent
            node = parent

    def function(self, node: ast.AST) -> Function | None:
        """Return the function that runs a node. None: it runs when the module is imported."""
        if node not in self._functions:
            self._functions[node] = self._function(node)
        return self._functions[node]

    def _function(self, node: ast.AST) -> Function | None:
        for parent in self.above(node):
            if isinstance(parent, ast.Lambda):
                if node is parent.body:
                    return parent
            elif isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                node is each for each in parent.body
            ):
                return parent
            node = parent
        return None

    def functions(self, node: ast.AST) -> Iterator[Function]:
        """Yield the functions around a node, the innermost first."""
        function = self.function(node)
        while function is not None:
            yield function
            function = self.function(function)

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the nearest class around a node, even if a function stands between them."""
        return next(
            (parent for parent in self.above(node) if isinstance(parent, ast.ClassDef)), None
        )

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement that a node is part of."""
        return (
            node
            if isinstance(node, ast.stmt)
            else next(parent for parent in self.above(node) if isinstance(parent, ast.stmt))
        )

    def block(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the list of statements that contains a statement."""
        above = self.parent[statement]
        lists = [value for _, value in ast.iter_fields(above) if isinstance(value, list)]
        return next(each for each in lists if any(item is statement for item in each))

    def inside(self, outer: ast.AST, kind: type[Node]) -> list[Node]:
        """Return all nodes of one kind below `outer`, except those in functions defined there."""
        function = outer if isinstance(outer, _FUNCTIONS) else self.function(outer)
        return [
            node
            for node in self.all(kind)
            if self.function(node) is function
            and any(parent is outer for parent in self.above(node))
        ]

    def dotted(self, expression: ast.AST) -> str:
        """Return the full name behind a call, as `asyncio.timeout`. Empty: not a plain name."""
        if isinstance(expression, ast.Name):
            return self.imports.get(expression.id, expression.id)
        if isinstance(expression, ast.Attribute) and (before := self.dotted(expression.value)):
            return f"{before}.{expression.attr}"
        return ""

    def outermost(self, name: str) -> ast.Name:
        """Return a name as the module itself sees it, outside of all functions."""
        return ast.Name(name)

    def uses(self, *packages: str) -> bool:
        """Tell whether the module imports a name that begins with one of these."""
        return any(name.startswith(packages) for name in self.imports.values())


def method(call: ast.Call) -> str:
    """Return the method's name: `invoke` for `chain.invoke(…)`. Empty: not a method."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """Return the value of the first of these keyword arguments that is present."""
    return next((each.value for each in call.keywords if each.arg in names), None)


def is_own(target: ast.AST) -> bool:
    """Tell whether an expression is an attribute of `self` or `cls`."""
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id in ("self", "cls")
    )


def is_constant(expression: ast.AST | None, *values: object) -> bool:
    """Tell whether an expression is literally one of these values."""
    return isinstance(expression, ast.Constant) and any(
        expression.value is value for value in values
    )


def written(expression: ast.AST, longest: int = 50) -> str:
    """Return an expression as code for a sentence, shortened if it is long."""
    try:
        text = " ".join(ast.unparse(expression).split())
    except RecursionError:
        text = "…"
    return f"`{text if len(text) <= longest else text[: longest - 1] + '…'}`"
