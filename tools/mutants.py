"""Make the mutants of a module: its source with one small change each.

A change swaps an operator, a condition, a number, a word or a pair of functions, or leaves a
statement out. What no test should depend on is left alone: docstrings, annotations, `__slots__`,
assertions for mypy, and sentences, which are those of errors and logs.
"""

import ast
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
NOT_CODE = {"__all__", "__slots__"}
"""Names whose values only tools read."""


@dataclass(frozen=True)
class Mutant:
    """One changed version of a module.

    Attributes:
        where: the function with the change, such as `Budget.forgive`; "" outside of functions.
        change: the text before and after, and its number if the function has several alike.
        line: the line of the change.
        text: the whole source.
    """

    where: str
    change: str
    line: int
    text: str

    @property
    def name(self) -> str:
        """Return a name that stays the same when other functions change."""
        return f"{self.where}: {self.change}"


def mutants(path: Path) -> list[Mutant]:
    """Return the mutants of a module, in the order of its lines."""
    source = path.read_text(encoding="utf-8")
    data, starts = source.encode(), [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Mutant] = []
    counts: dict[str, int] = {}
    for where, node, new in _changes(ast.parse(source), ""):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        change = f"{_short(data[begin:end].decode())} → {_short(new)}"
        number = counts[f"{where}: {change}"] = counts.get(f"{where}: {change}", 0) + 1
        change += f" ({number})" if number > 1 else ""
        text = (data[:begin] + new.encode() + data[end:]).decode()
        found.append(Mutant(where, change, node.lineno, text))
    return sorted(found, key=lambda each: each.line)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 90 else f"{words[:87]}…"


def _changes(tree: ast.AST, where: str) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    """Yield each change: its function, the node that is replaced, and the text instead."""
    for child in ast.iter_child_nodes(tree):
        if _is_left_alone(child, tree):
            continue
        inner = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{where}.{child.name}".lstrip(".")
        if isinstance(child, ast.expr | ast.stmt):
            for text in _instead(child, tree):
                yield inner, child, text
        yield from _changes(child, inner)


def _is_left_alone(node: ast.AST, parent: ast.AST) -> bool:
    if isinstance(node, ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(each, ast.Name) and each.id in NOT_CODE for each in targets):
            return True
        if node.value is not None and ast.unparse(node.value).startswith("Literal["):
            return True  # a type
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("TypeVar", "ParamSpec")):
        return True
    annotations = (getattr(parent, name, None) for name in ("annotation", "returns"))
    return any(node is each for each in annotations) or (
        isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node in parent.decorator_list
    )


@functools.singledispatch
def _instead(node: ast.expr | ast.stmt, parent: ast.AST) -> list[str]:
    """Return the texts that take the place of a node, one at a time."""
    return []


@_instead.register
def _(node: ast.Compare, parent: ast.AST) -> list[str]:
    texts = []
    for number, operator in enumerate(node.ops):
        new = copy.deepcopy(node)
        new.ops[number] = SWAPS[type(operator)]()  # type: ignore[call-overload]
        texts.append(ast.unparse(new))
    return texts


@_instead.register(ast.BoolOp)
@_instead.register(ast.BinOp)
def _(node: ast.BoolOp | ast.BinOp, parent: ast.AST) -> list[str]:
    if type(node.op) not in SWAPS:
        return []
    new = copy.deepcopy(node)
    new.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
    return [ast.unparse(new)]


@_instead.register
def _(node: ast.AugAssign, parent: ast.AST) -> list[str]:
    texts = ["pass"]
    if type(node.op) in SWAPS:
        new = copy.deepcopy(node)
        new.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
        texts.append(ast.unparse(new))
    return texts


@_instead.register
def _(node: ast.UnaryOp, parent: ast.AST) -> list[str]:
    if isinstance(node.op, ast.Not):
        return [f"bool({ast.unparse(node.operand)})"]
    return [f"({ast.unparse(node.operand)})"] if isinstance(node.op, ast.USub) else []


@_instead.register
def _(node: ast.Constant, parent: ast.AST) -> list[str]:
    value = node.value
    if isinstance(value, bool):
        return [str(not value)]
    if isinstance(value, int | float):
        return [str(value + 1)]
    if isinstance(value, str | bytes) and value and not isinstance(parent, ast.Subscript):
        mark, space = ("XX", " ") if isinstance(value, str) else (b"XX", b" ")
        return [] if space in value else [repr(mark + value)]  # type: ignore[operator]
    return []


@_instead.register(ast.Name)
@_instead.register(ast.Attribute)
@_instead.register(ast.Call)
def _(node: ast.Name | ast.Attribute | ast.Call, parent: ast.AST) -> list[str]:
    texts = []
    if isinstance(node, ast.Name) and isinstance(parent, ast.Call) and node is parent.func:
        texts += [NAMES[node.id]] if node.id in NAMES else []
    if isinstance(parent, ast.If | ast.While | ast.IfExp) and node is parent.test:
        texts.append(f"(not {ast.unparse(node)})")
    if isinstance(parent, ast.BoolOp) and not isinstance(node, ast.Call):
        texts.append(f"(not {ast.unparse(node)})")
    if isinstance(parent, ast.Return):
        texts.append("None")
    return texts


@_instead.register
def _(node: ast.Expr, parent: ast.AST) -> list[str]:
    return [] if isinstance(node.value, ast.Yield | ast.YieldFrom) else ["pass"]


@_instead.register
def _(node: ast.Assign, parent: ast.AST) -> list[str]:
    named = any(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
    return [] if named else ["pass"]  # a name that is not there would be an error at once


@_instead.register(ast.Raise)
@_instead.register(ast.Delete)
def _(node: ast.Raise | ast.Delete, parent: ast.AST) -> list[str]:
    return ["pass"]


@_instead.register
def _(node: ast.Break, parent: ast.AST) -> list[str]:
    return ["continue"]


@_instead.register
def _(node: ast.Continue, parent: ast.AST) -> list[str]:
    return ["break"]
