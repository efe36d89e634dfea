"""The class or function behind a name, here or where it is imported from."""

import ast
from typing import NamedTuple

from stream_lab.lint.module import Module, is_own


class Definition(NamedTuple):
    """A class or function, and the module that it stands in."""

    module: Module
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def define(module: Module, called: ast.AST, depth: int = 4) -> Definition | None:
    """Return the definition behind a name or `self.method`, here or where it is imported from.

    Returns:
        None: It is defined nowhere in sight, or in several places.
    """
    if isinstance(called, ast.Attribute) and is_own(called):
        inside = module.class_of(called)
        found: list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef] = [
            each
            for each in module.defined.get(called.attr, [])
            if module.parent.get(each) is inside
        ]
        return Definition(module, found[0]) if inside is not None and len(found) == 1 else None
    if isinstance(called, ast.Name):
        scopes = {*module.functions(called), None}
        found = [
            each
            for each in module.defined.get(called.id, [])
            if not isinstance(module.parent.get(each), ast.ClassDef)
            and module.function(each) in scopes
        ]
        if found:
            return Definition(module, found[0]) if len(found) == 1 else None
    if depth and (there := imported(module, called)) is not None:
        other, last = there
        return define(other, other.outermost(last), depth - 1)
    return None


def imported(module: Module, name: ast.AST) -> tuple[Module, str] | None:
    """Return the module that an imported name comes from, and its name there.

    Returns:
        None: The name is not imported, or its module is not among the files that are checked.
    """
    if not isinstance(name, ast.Name | ast.Attribute):
        return None
    root: ast.expr = name
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name) or root.id not in module.imports or module.project is None:
        return None
    full = module.dotted(name)
    *parts, last = full.lstrip(".").split(".")
    other = module.project.find(parts, len(full) - len(full.lstrip(".")), module.path)
    return None if other is None else (other, last)
